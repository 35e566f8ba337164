/**
 * What a leg inside TLS and WebSocket costs: the programs of (a) and (b) twice, every leg plain and every leg wrapped, in
 * turn round by round.
 */
import type { Later } from '@sallyport/testkit';
import type { Tunnel } from '../peers/tunnel.ts';
import { startWholePrograms } from '../peers/whole-programs.ts';
import { type BulkRow, measureBulk } from './bulk.ts';
import { startChild, stopChild } from './child.ts';
import { type LatencyRow, measureLatency } from './latency.ts';

export interface CarrierRows {
  readonly bulk: readonly BulkRow[];
  readonly latency: readonly LatencyRow[];
}

const roundTrips = 2_000;

export async function measureCarriers(
  later: Later,
  options: { readonly bytes: number; readonly connections: number; readonly rounds: number },
  progress: (done: string) => void,
): Promise<CarrierRows> {
  const { bytes, connections, rounds } = options;
  const target = await startChild(new URL('../harness/target.ts', import.meta.url), 'target');
  later(() => stopChild(target));
  const load = await startChild(new URL('../harness/load.ts', import.meta.url), 'load');
  later(() => stopChild(load));
  const tunnels: Tunnel[] = [];
  for (const carrier of ['tcp', 'websocket'] as const) {
    tunnels.push((await startWholePrograms(later, target.port, { carrier, instances: 1 })).tunnel);
  }
  const latency = await measureLatency({ tunnels, load, roundTrips, connections, rounds });
  progress('carriers: latency measured');
  const bulk: BulkRow[] = [];
  for (const streams of [1, 8]) {
    bulk.push(...(await measureBulk({ tunnels, load, target, streams, bytes, rounds })));
    progress(`carriers: bulk measured, ${streams} at a time`);
  }
  return { bulk, latency };
}
