import { setTimeout as pause } from 'node:timers/promises';
import { createSeededRandom, type Later } from '@sallyport/testkit';
import type { Instance } from '../harness/instance.ts';
import { viewPool } from '../harness/pool-view.ts';
import { until } from '../harness/until.ts';
import { idsOf } from './begin-fault.ts';
import { type ChaosPool, startChaosPool } from './chaos-pool.ts';
import { checkRun, type FaultInForce, type RunRecord, type ViewRecord, type Violation } from './check-run.ts';
import {
  type FaultKind,
  instanceFaults,
  makeSchedule,
  type PlannedFault,
  poolFaults,
  routerFaults,
  showFault,
} from './schedule.ts';
import { work } from './users.ts';

export interface ChaosOptions {
  readonly seed: number;
  /** Length of the trouble; start and rest come to it. */
  readonly ms: number;
  readonly instances: number;
  readonly kinds?: readonly FaultKind[];
  readonly say: (line: string) => void;
}

export interface ChaosResult {
  readonly schedule: readonly PlannedFault[];
  readonly run: RunRecord;
  readonly violations: readonly Violation[];
  /** What every program said, by name. */
  readonly logs: ReadonlyMap<string, string>;
}

const viewEveryMs = 2_000;
/** Over the time for which an instance keeps a stream whose user is gone. */
const restWithinMs = 180_000;

/**
 * Real programs under faults at random, then checked against what must hold (`check-run.ts`). The same seed, length and
 * number of instances give the same schedule; what the machine makes of it differs a little each time.
 */
export async function runChaos(later: Later, options: ChaosOptions): Promise<ChaosResult> {
  const { seed, ms, instances, say, kinds = [...instanceFaults, ...poolFaults, ...routerFaults] } = options;
  const schedule = makeSchedule({ seed, ms, instances: instances + 1, kinds });
  say(`seed ${seed}: ${schedule.length} faults in ${ms / 1_000} s; starting a pool of ${instances} with one standby`);
  let startedAtMs = performance.now();
  const nowMs = (): number => performance.now() - startedAtMs;
  const pool = await startChaosPool(later, instances, nowMs);
  // Everybody has worked once before descriptors are counted.
  await pool.user.open({ id: 'first', up: 10, down: 10, bytesPerSecond: 0 }, pool.web.port).ended();
  pool.noteDescriptors();
  startedAtMs = performance.now();
  const isOver = (): boolean => nowMs() >= ms;
  const views: ViewRecord[] = [];
  const [done, faults] = await Promise.all([
    work(pool, createSeededRandom(seed), nowMs, isOver),
    trouble(pool, schedule, nowMs, say),
    watch(pool, views, nowMs, isOver),
  ]);
  say(`${done.streams.length} streams, ${done.uses.length} uses; waiting for rest`);
  const rest = await comeToRest(pool, nowMs);
  const run: RunRecord = { faults, streams: done.streams, uses: done.uses, views, ...pool.seen, rest };
  return { schedule, run, violations: checkRun(run), logs: pool.logs() };
}

async function trouble(
  pool: ChaosPool,
  schedule: readonly PlannedFault[],
  nowMs: () => number,
  say: (line: string) => void,
): Promise<readonly FaultInForce[]> {
  const all = await Promise.all(
    schedule.map(async (fault) => {
      // The moments are what a schedule is.
      await pause(Math.max(0, fault.atMs - nowMs()));
      const fromMs = nowMs();
      const hasBegun = await pool.begin(fault);
      say(`${showFault(fault)}${hasBegun ? '' : ': left out'}`);
      if (!hasBegun) return [];
      await pause(Math.max(0, fault.atMs + fault.forMs - nowMs()));
      await pool.end(fault);
      return [{ kind: fault.kind, address: pool.addressOf(fault), fromMs, toMs: nowMs() }];
    }),
  );
  return all.flat();
}

async function viewOf(pool: ChaosPool, nowMs: () => number): Promise<ViewRecord> {
  const { max_instances: maxInstances, instances } = await viewPool(pool.installation);
  const rows = instances.map((row) => ({ id: row.instance_id, state: row.state, streams: row.streams }));
  return { atMs: nowMs(), maxInstances, instances: rows };
}

/** Looks at the pool now and then; where the router is away there is nothing to see. */
async function watch(pool: ChaosPool, views: ViewRecord[], nowMs: () => number, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await viewOf(pool, nowMs).then(
      (view) => views.push(view),
      () => undefined,
    );
    await pause(viewEveryMs);
  }
}

async function comeToRest(pool: ChaosPool, nowMs: () => number): Promise<RunRecord['rest']> {
  await pool.settle();
  let last = 'the router does not answer';
  const isQuiet = ({ maxInstances, instances }: ViewRecord): boolean =>
    instances.filter(({ state }) => state === 'ready').length === maxInstances &&
    instances.length === pool.instances().length &&
    instances.every(({ state, streams }) => (state === 'ready' || state === 'standby') && streams === 0);
  const look = async (): Promise<ViewRecord | null> => {
    const view = await viewOf(pool, nowMs).catch((reason: unknown) => {
      last = reason instanceof Error ? reason.message : String(reason);
      return null;
    });
    if (view !== null) last = JSON.stringify(view.instances);
    return view !== null && isQuiet(view) ? view : null;
  };
  const view = await until('rest', look, restWithinMs).catch(() => null);
  return {
    view,
    why: last,
    instances: await Promise.all(
      pool.instances().map(async (one) => ({ id: idsOf(one).at(-1) ?? (await one.id()), membership: ownWord(one) })),
    ),
    processes: pool.processes(),
    strangers: pool.strangers(),
  };
}

/** What an instance said last of its own membership. */
function ownWord(instance: Instance): 'slot' | 'standby' | 'none' {
  const words: Readonly<Record<string, 'slot' | 'standby'>> = {
    admitted: 'slot',
    promoted: 'slot',
    'waiting as standby': 'standby',
  };
  return instance.log().reduce<'slot' | 'standby' | 'none'>((known, { msg }) => words[msg] ?? known, 'none');
}
