import type { Tunnel } from '../peers/tunnel.ts';
import type { HarnessChild } from './child.ts';
import { median, quantile } from './numbers.ts';
import { orderLoad } from './order-load.ts';
import { cpuSeconds } from './process-cpu.ts';

interface Spread {
  readonly p50: number;
  readonly p99: number;
}
export interface LatencyRow {
  readonly name: string;
  /** Milliseconds of one byte there and back on an open connection. */
  readonly roundTrip: Spread;
  /** Milliseconds from connect to the first byte of the target's answer. */
  readonly connection: Spread;
  readonly cpuMsPerConnection: number;
  readonly noDelay: string;
}

/** Medians over the rounds of each round's quantiles. */
export async function measureLatency(options: {
  readonly tunnel: Tunnel;
  readonly load: HarnessChild;
  readonly roundTrips: number;
  readonly connections: number;
  readonly rounds: number;
}): Promise<LatencyRow> {
  const { tunnel, load } = options;
  const trips: Spread[] = [];
  const opens: Spread[] = [];
  const cpu: number[] = [];
  await orderLoad(load, { kind: 'connections', port: tunnel.port, count: 50 });
  for (let round = 0; round < options.rounds; round++) {
    const pings = await orderLoad(load, { kind: 'round-trips', port: tunnel.port, count: options.roundTrips });
    trips.push(spread(pings.samples));
    const before = cpuSeconds(tunnel.pids);
    const connections = await orderLoad(load, { kind: 'connections', port: tunnel.port, count: options.connections });
    cpu.push(((cpuSeconds(tunnel.pids) - before) * 1_000) / options.connections);
    opens.push(spread(connections.samples));
  }
  return {
    name: tunnel.name,
    roundTrip: medians(trips),
    connection: medians(opens),
    cpuMsPerConnection: median(cpu),
    noDelay: tunnel.noDelay,
  };
}

function spread(samples: readonly number[]): Spread {
  return { p50: quantile(samples, 0.5), p99: quantile(samples, 0.99) };
}

function medians(spreads: readonly Spread[]): Spread {
  return { p50: median(spreads.map(({ p50 }) => p50)), p99: median(spreads.map(({ p99 }) => p99)) };
}
