import { cpus, loadavg, release } from 'node:os';
import type { BulkRow } from '../measure/bulk.ts';
import type { CarrierRows } from '../measure/carriers.ts';
import type { DrainRow } from '../measure/drain.ts';
import type { FailoverRow } from '../measure/failover.ts';
import type { KillRow } from '../measure/kills.ts';
import type { LatencyRow } from '../measure/latency.ts';
import type { LinkRow } from '../measure/links.ts';
import type { RestartRow } from '../measure/restarts.ts';
import { sshVersion } from '../peers/ssh.ts';

/** All figures of one run; what lies in `bench/results/`. */
export interface Report {
  /** ISO 8601. */
  readonly at: string;
  readonly seconds: number;
  readonly rounds: number;
  readonly gibPerRound: number;
  readonly connectionsPerRound: number;
  readonly machine: Machine;
  readonly loadAverage: { readonly before: readonly number[]; readonly after: readonly number[] };
  readonly bulk: readonly BulkRow[];
  readonly latency: readonly LatencyRow[];
  readonly kills: KillRow | null;
  readonly failover: readonly FailoverRow[];
  readonly restarts: RestartRow | null;
  readonly carriers: CarrierRows | null;
  readonly drain: DrainRow | null;
  readonly links: readonly LinkRow[];
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly node: string;
  readonly ssh: string;
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? '',
    cores: cpus().length,
    kernel: release(),
    node: process.version,
    ssh: sshVersion(),
  };
}

/** Over 1, 5 and 15 minutes. */
export function loadAverage(): readonly number[] {
  return loadavg();
}
