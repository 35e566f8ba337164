import type { Tunnel } from '../peers/tunnel.ts';
import type { HarnessChild } from './child.ts';
import { median } from './numbers.ts';
import { orderLoad } from './order-load.ts';
import { cpuSeconds } from './process-cpu.ts';

export interface BulkRow {
  readonly name: string;
  readonly streams: number;
  readonly mebibytesPerSecond: number;
  /** CPU seconds per GiB of the tunnel's own processes. */
  readonly cpuPerGib: number;
  /** The same with target and load generator, which are the same for all. */
  readonly cpuPerGibAll: number;
  readonly rounds: readonly Round[];
}

interface Round {
  readonly seconds: number;
  readonly cpu: number;
  readonly cpuAll: number;
}

/**
 * Target → user, `bytes` in all over `streams` connections. The tunnels take turns, round by round, so that whatever
 * else the machine does hits all of them; one short round each warms up.
 */
export async function measureBulk(options: {
  readonly tunnels: readonly Tunnel[];
  readonly load: HarnessChild;
  readonly target: HarnessChild;
  readonly streams: number;
  readonly bytes: number;
  readonly rounds: number;
}): Promise<readonly BulkRow[]> {
  const { tunnels, load, target, streams } = options;
  const bytesEach = Math.floor(options.bytes / streams);
  const rounds = new Map<Tunnel, Round[]>(tunnels.map((tunnel) => [tunnel, []]));
  for (let round = -1; round < options.rounds; round++) {
    for (const tunnel of tunnels) {
      const length = round < 0 ? Math.floor(bytesEach / 8) : bytesEach;
      const figures = await oneRound(tunnel, load, target, streams, length);
      if (round >= 0) rounds.get(tunnel)?.push(figures);
    }
  }
  return tunnels.map((tunnel) => summary(tunnel, streams, (bytesEach * streams) / 2 ** 30, rounds.get(tunnel) ?? []));
}

async function oneRound(
  tunnel: Tunnel,
  load: HarnessChild,
  target: HarnessChild,
  streams: number,
  bytesEach: number,
): Promise<Round> {
  const before = [cpuSeconds(tunnel.pids), cpuSeconds([load.pid, target.pid])] as const;
  const { seconds, failures } = await orderLoad(load, { kind: 'bulk', port: tunnel.port, streams, bytesEach });
  if (failures > 0) throw new Error(`bench: ${failures} of ${streams} streams of ${tunnel.name} lost bytes`);
  const cpu = cpuSeconds(tunnel.pids) - before[0];
  return { seconds, cpu, cpuAll: cpu + cpuSeconds([load.pid, target.pid]) - before[1] };
}

function summary(tunnel: Tunnel, streams: number, gib: number, rounds: readonly Round[]): BulkRow {
  return {
    name: tunnel.name,
    streams,
    mebibytesPerSecond: (gib * 1_024) / median(rounds.map(({ seconds }) => seconds)),
    cpuPerGib: median(rounds.map(({ cpu }) => cpu)) / gib,
    cpuPerGibAll: median(rounds.map(({ cpuAll }) => cpuAll)) / gib,
    rounds,
  };
}
