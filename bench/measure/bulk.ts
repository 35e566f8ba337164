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
  readonly rounds: readonly { readonly seconds: number; readonly cpu: number; readonly cpuAll: number }[];
}

/** Target → user, `bytes` in all over `streams` connections; one short round warms up. */
export async function measureBulk(options: {
  readonly tunnel: Tunnel;
  readonly load: HarnessChild;
  readonly target: HarnessChild;
  readonly streams: number;
  readonly bytes: number;
  readonly rounds: number;
}): Promise<BulkRow> {
  const { tunnel, load, target, streams } = options;
  const bytesEach = Math.floor(options.bytes / streams);
  const order = { kind: 'bulk', port: tunnel.port, streams, bytesEach } as const;
  await orderLoad(load, { ...order, bytesEach: Math.floor(bytesEach / 8) });
  const rounds = [];
  for (let round = 0; round < options.rounds; round++) {
    const before = [cpuSeconds(tunnel.pids), cpuSeconds([load.pid, target.pid])] as const;
    const { seconds, failures } = await orderLoad(load, order);
    if (failures > 0) throw new Error(`bench: ${failures} of ${streams} streams of ${tunnel.name} lost bytes`);
    const cpu = cpuSeconds(tunnel.pids) - before[0];
    rounds.push({ seconds, cpu, cpuAll: cpu + cpuSeconds([load.pid, target.pid]) - before[1] });
  }
  const gib = (bytesEach * streams) / 2 ** 30;
  return {
    name: tunnel.name,
    streams,
    mebibytesPerSecond: (gib * 1_024) / median(rounds.map(({ seconds }) => seconds)),
    cpuPerGib: median(rounds.map(({ cpu }) => cpu)) / gib,
    cpuPerGibAll: median(rounds.map(({ cpuAll }) => cpuAll)) / gib,
    rounds,
  };
}
