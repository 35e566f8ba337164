import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { JobView } from '@sallyport/protocol';
import type { User } from '../../packages/cli/src/rotation/rotated-record.ts';
import type { RotatingPool } from '../../e2e/rotation/rotating-pool.ts';
import { cpuSeconds } from '../measure/process-cpu.ts';
import { quantile } from '../measure/numbers.ts';

const lookEveryMs = 500;

export interface RotationRow {
  readonly instances: number;
  readonly roles: number;
  /** From the first order to the end of the last job. */
  readonly seconds: number;
  /** Until the last order was taken: this process signed them meanwhile. */
  readonly orderedSeconds: number;
  readonly perMinute: number;
  readonly notDone: number;
  /** From a job's first claim to its end. */
  readonly jobMs: { readonly p50: number; readonly p99: number };
  readonly cpuSeconds: { readonly router: number; readonly instances: number; readonly server: number };
  /** Most memory ever held, MiB. */
  readonly peakMiB: { readonly router: number; readonly instance: number };
}

/** Orders a rotation of every user and waits until the last one ended. */
export async function rotateAll(
  pool: RotatingPool,
  users: readonly User[],
  serverPids: () => readonly number[],
): Promise<RotationRow> {
  const { owner, installation } = pool;
  const router = installation.router.child.pid;
  const instances = pool.instances().map(({ child }) => child.pid);
  const used = () => [[router], instances, serverPids()].map((pids) => cpuSeconds(pids));
  const before = used();
  const startedMs = performance.now();
  const since = users.length === 0 ? 0 : Date.now();
  await owner.orderAll(users);
  const orderedMs = performance.now();
  // Not as often as a test looks: to list what is open would be a good part of the router's work.
  const giveUpMs = orderedMs + 600_000;
  while (await owner.anyOpen()) {
    if (performance.now() > giveUpMs) throw new Error('jobs are still open after 10 minutes');
    await pause(lookEveryMs);
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  const after = used();
  const spent = after.map((total, index) => total - (before[index] ?? 0));
  const jobs: readonly JobView[] = await owner.endedSince(since);
  const took = jobs.flatMap(({ startedAtMs, endedAtMs }) =>
    startedAtMs === null || endedAtMs === null ? [] : [endedAtMs - startedAtMs],
  );
  return {
    instances: instances.length,
    roles: users.length,
    seconds,
    orderedSeconds: (orderedMs - startedMs) / 1_000,
    perMinute: (users.length / seconds) * 60,
    notDone: users.length - jobs.filter(({ state }) => state === 'done').length,
    jobMs: { p50: quantile(took, 0.5), p99: quantile(took, 0.99) },
    cpuSeconds: { router: spent[0] ?? 0, instances: spent[1] ?? 0, server: spent[2] ?? 0 },
    peakMiB: { router: peakMiB(router), instance: Math.max(...instances.map(peakMiB)) },
  };
}

function peakMiB(pid: number): number {
  const [, kib] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1_024;
}
