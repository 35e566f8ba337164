import { createSeededRandom, type SeededRandom } from '@sallyport/testkit';

/**
 * What befalls one instance: killed, told to end by a signal or by an operator (and replaced), frozen, cordoned for a
 * while, cloned while it runs, its packets to and from the router lost, its way to the target closed.
 */
export const instanceFaults = [
  'kill',
  'drain',
  'drain-command',
  'freeze',
  'cordon',
  'clone',
  'silence',
  'silence-in',
  'silence-out',
  'loss',
  'no-target',
] as const;
/** What an operator does to the pool: its maximum lowered by one with `--drain-surplus`, and raised again. */
export const poolFaults = ['surplus'] as const;
/** Faults of the router: killed and started anew, or frozen. */
export const routerFaults = ['router-kill', 'router-freeze'] as const;
export type FaultKind = (typeof instanceFaults)[number] | (typeof poolFaults)[number] | (typeof routerFaults)[number];

/**
 * One fault: from `atMs` for `forMs` after the start of the run. `place` is that of an instance, 0 to instances − 1; null
 * for the router and the pool, which picks whom it drains itself.
 */
export interface PlannedFault {
  readonly kind: FaultKind;
  readonly place: number | null;
  readonly atMs: number;
  readonly forMs: number;
}

export interface ScheduleWish {
  readonly seed: number;
  readonly ms: number;
  readonly instances: number;
  /** Kinds that this machine permits. */
  readonly kinds: readonly FaultKind[];
}

/** Least and most time between two beginnings, and of a fault; ms. */
const times = {
  calm: { least: 400, most: 5_000 },
  fault: { least: 300, most: 9_000 },
  router: { least: 200, most: 4_000 },
} as const;

function between(random: SeededRandom, { least, most }: { readonly least: number; readonly most: number }): number {
  return least + random.below(most - least + 1);
}

/**
 * The faults of a run, by their beginnings; the same wish gives the same schedule.
 *
 * T1 every fault ends before the run does.
 * T2 at no time has more than half of the instances, but always at least one, a fault of its own; no instance has two. Who
 *    drains as surplus counts, whoever it is.
 * T3 the router has one fault at a time, and so has the pool.
 */
export function makeSchedule({ seed, ms, instances, kinds }: ScheduleWish): readonly PlannedFault[] {
  const random = createSeededRandom(seed);
  const faults: PlannedFault[] = [];
  const most = mostAtOnce(instances);
  for (let atMs = between(random, times.calm); atMs < ms; atMs += between(random, times.calm)) {
    const kind = kinds[random.below(kinds.length)];
    const place = random.below(instances);
    const isOfRouter = isRouterFault(kind);
    const isOfPool = isPoolFault(kind);
    const forMs = between(random, isOfRouter ? times.router : times.fault);
    if (kind === undefined || atMs + forMs > ms) continue;
    const now = faults.filter((one) => one.atMs + one.forMs > atMs);
    const ofInstances = now.filter((one) => !isRouterFault(one.kind));
    if (isOfRouter) {
      if (ofInstances.length === now.length) faults.push({ kind, place: null, atMs, forMs });
    } else if (isOfPool) {
      const isAlone = now.every((one) => !isPoolFault(one.kind));
      if (ofInstances.length < most && isAlone) faults.push({ kind, place: null, atMs, forMs });
    } else if (ofInstances.length < most && ofInstances.every((one) => one.place !== place)) {
      faults.push({ kind, place, atMs, forMs });
    }
  }
  return faults;
}

export function isRouterFault(kind: FaultKind | undefined): boolean {
  return routerFaults.some((one) => one === kind);
}

function isPoolFault(kind: FaultKind | undefined): boolean {
  return poolFaults.some((one) => one === kind);
}

/** How many places may have a fault at once (T2). */
export function mostAtOnce(instances: number): number {
  return Math.max(1, Math.floor(instances / 2));
}

/** On one line, for the log of a run. */
export function showFault({ kind, place, atMs, forMs }: PlannedFault): string {
  const who = place === null ? '' : ` of instance ${place + 1}`;
  return `${(atMs / 1_000).toFixed(1)} s: ${kind}${who} for ${(forMs / 1_000).toFixed(1)} s`;
}
