/**
 * Time without service when the instance whose turn is next freezes, is cut off from the router, or does not reach the
 * target, through the real programs; each on a machine of its own in a network lab.
 *
 * A trial: every member has just served one request. The one whose turn is next is hit; connections follow back to back,
 * two turns around the pool. Then it is healed, or replaced where its history would count (a pair is ejected for longer
 * each time), and the next trial begins when every member serves again.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Later, silence } from '@sallyport/testkit';
import { type LabInstance, type LabPool, startLabPool } from '../../e2e/harness/lab-pool.ts';
import { quantile } from './numbers.ts';

const failoverKinds = ['SIGSTOP', 'silent drop, both ways', 'target unreachable from one instance'] as const;
type FailoverKind = (typeof failoverKinds)[number];

export interface FailoverRow {
  readonly kind: FailoverKind;
  readonly trials: number;
  /** Milliseconds from before the fault was put in force to the first byte of an answer on a new connection. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Connections opened after the faults, and how many of them got no right answer. */
  readonly connections: number;
  readonly failures: number;
  readonly samplesMs: readonly number[];
}

const members = ['one', 'two', 'three'];
const settleWithinMs = 60_000;

export async function measureFailover(
  later: Later,
  trials: number,
  progress: (done: string) => void,
): Promise<readonly FailoverRow[]> {
  const pool = await startLabPool(later, members);
  const rows: FailoverRow[] = [];
  for (const kind of failoverKinds) rows.push(await measureKind(pool, kind, trials, progress));
  return rows;
}

async function measureKind(
  pool: LabPool,
  kind: FailoverKind,
  trials: number,
  progress: (done: string) => void,
): Promise<FailoverRow> {
  const samplesMs: number[] = [];
  let [connections, failures] = [0, 0];
  for (let trial = 1; trial <= trials; trial += 1) {
    const victim = await nextInTurn(pool);
    const faultAtMs = performance.now();
    begin(kind, victim, pool);
    let firstMs = Number.NaN;
    for (let n = 0; n < 2 * members.length; n += 1) {
      const openedAtMs = performance.now();
      const answer = await pool.request();
      connections += 1;
      if (answer.how !== 'fin' || answer.received !== 20 || answer.wrongAt !== null) failures += 1;
      else if (Number.isNaN(firstMs)) firstMs = openedAtMs - faultAtMs + (answer.firstMs ?? answer.ms);
    }
    if (Number.isNaN(firstMs)) throw new Error(`bench: nothing was served after ${kind}`);
    samplesMs.push(firstMs);
    await end(kind, victim, pool);
    if (trial % 10 === 0) progress(`${kind}: ${trial} of ${trials}`);
  }
  return {
    kind,
    trials,
    p50Ms: quantile(samplesMs, 0.5),
    p99Ms: quantile(samplesMs, 0.99),
    maxMs: Math.max(...samplesMs),
    connections,
    failures,
    samplesMs,
  };
}

/** Until as many requests in a row as there are members were served by all of them: the first of these is next. */
async function nextInTurn(pool: LabPool): Promise<LabInstance> {
  const served: (LabInstance | undefined)[] = [];
  const deadline = performance.now() + settleWithinMs;
  while (performance.now() < deadline) {
    served.push((await pool.request()).by);
    const last = served.slice(-members.length);
    const [next] = last;
    if (next !== undefined && !last.includes(undefined) && new Set(last).size === members.length) return next;
    if (served.length > 2 * members.length) await pause(100);
  }
  throw new Error(`bench: not every member serves within ${settleWithinMs / 1_000} s`);
}

function begin(kind: FailoverKind, { host, instance }: LabInstance, pool: LabPool): void {
  if (kind === 'SIGSTOP') instance.child.kill('SIGSTOP');
  else if (kind === 'silent drop, both ways') host.setFaults(silence(pool.router.address));
  else host.setFaults([{ kind: 'unreachable', direction: 'out', peer: pool.targetHost.address }]);
}

async function end(kind: FailoverKind, victim: LabInstance, pool: LabPool): Promise<void> {
  victim.host.setFaults([]);
  if (kind === 'SIGSTOP') victim.instance.child.kill('SIGCONT');
  if (kind === 'target unreachable from one instance') await pool.replace(victim);
}
