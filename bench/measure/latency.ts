import type { Tunnel } from '../peers/tunnel.ts';
import type { HarnessChild } from './child.ts';
import { median, quantile } from './numbers.ts';
import { orderLoad } from './order-load.ts';
import { cpuSeconds } from './process-cpu.ts';

interface Spread {
  readonly p50: number;
  readonly p99: number;
}
interface Round {
  readonly roundTrip: Spread;
  readonly connection: Spread;
  readonly cpuMsPerConnection: number;
}
export interface LatencyRow {
  readonly name: string;
  /** Milliseconds of one byte there and back on an open connection. */
  readonly roundTrip: Spread;
  /** Milliseconds from connect to the first byte of the target's answer. */
  readonly connection: Spread;
  readonly cpuMsPerConnection: number;
  readonly noDelay: string;
  readonly rounds: readonly Round[];
}

const warmUpConnections = 50;

/** Medians over the rounds of each round's quantiles. The tunnels take turns, round by round. */
export async function measureLatency(options: {
  readonly tunnels: readonly Tunnel[];
  readonly load: HarnessChild;
  readonly roundTrips: number;
  readonly connections: number;
  readonly rounds: number;
}): Promise<readonly LatencyRow[]> {
  const { tunnels, load, roundTrips, connections } = options;
  for (const { port } of tunnels) await orderLoad(load, { kind: 'connections', port, count: warmUpConnections });
  const rounds = new Map<Tunnel, Round[]>(tunnels.map((tunnel) => [tunnel, []]));
  for (let round = 0; round < options.rounds; round++) {
    for (const tunnel of tunnels) rounds.get(tunnel)?.push(await oneRound(tunnel, load, roundTrips, connections));
  }
  return tunnels.map((tunnel) => summary(tunnel, rounds.get(tunnel) ?? []));
}

async function oneRound(tunnel: Tunnel, load: HarnessChild, roundTrips: number, connections: number): Promise<Round> {
  const pings = await orderLoad(load, { kind: 'round-trips', port: tunnel.port, count: roundTrips });
  const before = cpuSeconds(tunnel.pids);
  const opens = await orderLoad(load, { kind: 'connections', port: tunnel.port, count: connections });
  const cpuMsPerConnection = ((cpuSeconds(tunnel.pids) - before) * 1_000) / connections;
  return { roundTrip: spread(pings.samples), connection: spread(opens.samples), cpuMsPerConnection };
}

function summary(tunnel: Tunnel, rounds: readonly Round[]): LatencyRow {
  return {
    name: tunnel.name,
    roundTrip: medians(rounds.map(({ roundTrip }) => roundTrip)),
    connection: medians(rounds.map(({ connection }) => connection)),
    cpuMsPerConnection: median(rounds.map(({ cpuMsPerConnection }) => cpuMsPerConnection)),
    noDelay: tunnel.noDelay,
    rounds,
  };
}

function spread(samples: readonly number[]): Spread {
  return { p50: quantile(samples, 0.5), p99: quantile(samples, 0.99) };
}

function medians(spreads: readonly Spread[]): Spread {
  return { p50: median(spreads.map(({ p50 }) => p50)), p99: median(spreads.map(({ p99 }) => p99)) };
}
