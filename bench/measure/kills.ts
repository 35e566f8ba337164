/**
 * Time without service when an instance dies, through the real programs.
 *
 * A trial: the pool is full; streams are opened and held until every member serves one. The member whose turn is next
 * (it served the first) is killed with SIGKILL while its stream is open. New connections follow back to back, each with
 * an exchange of its own; then the streams held on the others must still answer. A replacement is started, and the next
 * trial begins when the pool is full again.
 */
import type { Instance } from '../../e2e/harness/instance.ts';
import { until } from '../../e2e/harness/until.ts';
import { poolSize, type WholePrograms } from '../peers/whole-programs.ts';
import { type EchoConnection, openEcho } from './echo-connection.ts';
import { quantile } from './numbers.ts';
import { cpuSeconds } from './process-cpu.ts';

export interface KillRow {
  readonly trials: number;
  /** Milliseconds from the SIGKILL to the first byte of an answer on a new connection. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Connections opened after a kill. */
  readonly connections: number;
  /** Of these, and of the streams held on other instances, those that got no right answer. */
  readonly failures: number;
  /** Streams that ran on a dead instance, and how many of them ended with a reset as they must. */
  readonly lost: number;
  readonly lostByReset: number;
  /** CPU seconds of everything, the starts of all replacements included; and of router and `pam` alone. */
  readonly cpuAll: number;
  readonly cpuRouterAndPam: number;
  readonly samplesMs: readonly number[];
}

interface Trial {
  readonly ms: number;
  readonly connections: number;
  readonly failures: number;
  readonly lost: number;
  readonly lostByReset: number;
}

/** Two turns around the pool, the slot of the dead one included. */
const connectionsAfterKill = 2 * poolSize;
/** Only a pool that does not take turns needs more to reach every member. */
const maxHeld = 4 * poolSize;
const maxAttempts = 50;

export async function measureKills(
  programs: WholePrograms,
  trials: number,
  progress: (done: string) => void,
): Promise<KillRow> {
  const { routerPid, pamPid } = programs;
  const cpuBefore = [cpuSeconds([process.pid]), cpuSeconds([routerPid, pamPid])] as const;
  const done: Trial[] = [];
  for (let trial = 1; trial <= trials; trial += 1) {
    await programs.whenFull();
    done.push(await oneTrial(programs));
    if (trial % 10 === 0) progress(`kills: ${trial} of ${trials}`);
  }
  const samplesMs = done.map(({ ms }) => ms);
  const sum = (of: (trial: Trial) => number): number => done.reduce((total, trial) => total + of(trial), 0);
  return {
    trials,
    p50Ms: quantile(samplesMs, 0.5),
    p99Ms: quantile(samplesMs, 0.99),
    maxMs: Math.max(...samplesMs),
    connections: sum(({ connections }) => connections),
    failures: sum(({ failures }) => failures),
    lost: sum(({ lost }) => lost),
    lostByReset: sum(({ lostByReset }) => lostByReset),
    cpuAll: cpuSeconds([process.pid]) - cpuBefore[0],
    cpuRouterAndPam: cpuSeconds([routerPid, pamPid]) - cpuBefore[1],
    samplesMs,
  };
}

async function oneTrial(programs: WholePrograms): Promise<Trial> {
  const held = await holdOnEvery(programs);
  const victim = held[0]?.instance;
  if (victim === undefined) throw new Error('bench: no stream was opened');
  const { port } = programs.tunnel;

  const killedAtMs = performance.now();
  programs.killInstance(victim);
  let firstByteAtMs = Number.NaN;
  let [connections, answered] = [0, 0];
  while (answered < connectionsAfterKill && connections < maxAttempts) {
    connections += 1;
    const connection = openEcho(port);
    const answer = await connection.exchange();
    connection.close();
    if (!answer.isSame) continue;
    if (answered === 0) firstByteAtMs = answer.firstByteAtMs;
    answered += 1;
  }
  if (answered === 0) throw new Error(`bench: no answer on ${connections} connections after a kill`);

  programs.addInstance();
  let [failures, lost, lostByReset] = [connections - answered, 0, 0];
  for (const { connection, instance } of held) {
    if (instance === victim) {
      lost += 1;
      if ((await endOf(connection)) === 'ECONNRESET') lostByReset += 1;
    } else if (!(await connection.exchange()).isSame) failures += 1;
    connection.close();
  }
  return { ms: firstByteAtMs - killedAtMs, connections, failures, lost, lostByReset };
}

/** Opens streams until every member serves one. Which one serves is what the instances' own logs say. */
async function holdOnEvery(
  programs: WholePrograms,
): Promise<readonly { readonly connection: EchoConnection; readonly instance: Instance }[]> {
  const held: { readonly connection: EchoConnection; readonly instance: Instance }[] = [];
  while (new Set(held.map(({ instance }) => instance)).size < poolSize) {
    if (held.length === maxHeld) throw new Error(`bench: ${maxHeld} streams did not reach all ${poolSize} members`);
    const before = new Map(programs.instances.map((instance) => [instance, instance.opened().length]));
    const connection = openEcho(programs.tunnel.port);
    if (!(await connection.exchange()).isSame) throw new Error('bench: a connection failed before the kill');
    const instance = await until('the instance that serves says so', () =>
      programs.instances.find((one) => one.opened().length > (before.get(one) ?? 0)),
    );
    held.push({ connection, instance });
  }
  return held;
}

/** How a stream of the dead instance ended; `open` when the user was not told within 15 s. */
function endOf(connection: EchoConnection): Promise<string> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve('open'), 15_000);
    void connection.ended.then((how) => {
      clearTimeout(timer);
      resolve(how);
    });
  });
}
