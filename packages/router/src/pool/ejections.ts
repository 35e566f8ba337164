import type { InstanceId, ItemUid } from '@sallyport/protocol';

/**
 * Pairs of instance and resource that do not go together: the instance could not reach what another one reached.
 *
 * States of a pair: none → ejected(until) → due → probing(stream) → returned(until) → none.
 *
 * E1 a pair is ejected only on differential evidence: for one stream this instance said by its signed event that the
 *    target cannot be reached, and another instance opened it (I12, F12). The router never sees a host: the resource's
 *    UID stands for it.
 * E2 ejected is a preference (class 1), never an exclusion.
 * E3 10 s × 2ⁿ ≤ 10 min, ± 20 %. After that one real request is let through to probe; whoever opens its stream decides:
 *    the instance itself → returned; another → ejected anew, for twice as long; nobody → the next request probes.
 * E4 whatever this instance opens for the resource returns the pair, probe or not.
 * E5 at most `pairsAtMost` a pool, the oldest goes first; all of an instance's go with it.
 *
 * Owned by a pool and changed in place, like the rest of it (ADR 0005). Times are of the judge's clock.
 */
export type Ejections = Map<ItemUid, Map<InstanceId, Ejection>>;

interface Ejection {
  /** Ejections in a row; the nth lasts 10 s × 2ⁿ⁻¹. */
  times: number;
  /** Since when, and until when it is ejected; evidence of streams picked before the first is old news. */
  sinceMs: number;
  untilMs: number;
  probe: { readonly stream: string; readonly untilMs: number } | null;
  /** It is well again; the row of ejections goes on if it fails before this time. */
  returnedUntilMs: number | null;
}

export const ejectionTimes = {
  firstMs: 10_000,
  mostMs: 600_000,
  jitter: 0.2,
  probeWithinMs: 15_000,
  probeTellsMs: 1_000,
} as const;
export const pairsAtMost = 2_000;

export type PairStanding =
  | { readonly kind: 'none' }
  | { readonly kind: 'ejected'; readonly times: number; readonly untilMs: number }
  /** The next request may probe. */
  | { readonly kind: 'due'; readonly times: number }
  | { readonly kind: 'probing'; readonly times: number };

const none: PairStanding = { kind: 'none' };

export function standingOf(
  pairs: Ejections,
  instance: InstanceId,
  resource: ItemUid | null,
  judgeMs: number,
): PairStanding {
  if (pairs.size === 0 || resource === null) return none;
  const pair = pairs.get(resource)?.get(instance);
  if (pair === undefined || pair.returnedUntilMs !== null) return none;
  const { times, untilMs, probe } = pair;
  if (judgeMs < untilMs) return { kind: 'ejected', times, untilMs };
  return probe !== null && judgeMs < probe.untilMs ? { kind: 'probing', times } : { kind: 'due', times };
}

/** The pick let this stream through to a pair that was due. */
export function beginProbe(
  pairs: Ejections,
  instance: InstanceId,
  resource: ItemUid,
  stream: string,
  judgeMs: number,
): void {
  const pair = pairs.get(resource)?.get(instance);
  if (pair !== undefined) pair.probe = { stream, untilMs: judgeMs + ejectionTimes.probeWithinMs };
}

/** The probe came to nothing that tells about the target: the next request may probe. */
export function endProbe(pairs: Ejections, instance: InstanceId, resource: ItemUid, stream: string): void {
  const pair = pairs.get(resource)?.get(instance);
  if (pair?.probe?.stream === stream) pair.probe = null;
}

/** Is this stream the probe of this pair? */
export function isProbe(pairs: Ejections, instance: InstanceId, resource: ItemUid, stream: string): boolean {
  return pairs.get(resource)?.get(instance)?.probe?.stream === stream;
}

/**
 * Another instance opened what this one could not reach.
 *
 * @param pickedAtMs - when the instance was picked for the stream that tells.
 * @param chance - in [0, 1), spreads the time.
 * @returns how long it is ejected and for the how manieth time; null when it changes nothing.
 */
export function eject(
  pairs: Ejections,
  instance: InstanceId,
  resource: ItemUid,
  at: { readonly judgeMs: number; readonly pickedAtMs: number; readonly chance: number },
): { readonly times: number; readonly forMs: number } | null {
  const old = pairs.get(resource)?.get(instance);
  if (old !== undefined && old.returnedUntilMs === null && (at.judgeMs < old.untilMs || at.pickedAtMs <= old.sinceMs)) {
    return null;
  }
  const times = old === undefined ? 1 : Math.min(old.times + 1, 30);
  const plainMs = lengthMs(times);
  const forMs = Math.round(plainMs * (1 - ejectionTimes.jitter + 2 * ejectionTimes.jitter * at.chance));
  if (old === undefined) makeRoom(pairs);
  const ofResource = pairs.get(resource) ?? new Map<InstanceId, Ejection>();
  pairs.set(resource, ofResource);
  ofResource.set(instance, {
    times,
    sinceMs: at.judgeMs,
    untilMs: at.judgeMs + forMs,
    probe: null,
    returnedUntilMs: null,
  });
  return { times, forMs };
}

function lengthMs(times: number): number {
  return Math.min(ejectionTimes.mostMs, ejectionTimes.firstMs * 2 ** (times - 1));
}

/** This instance opened the resource. Answers whether that is news. */
export function giveBack(pairs: Ejections, instance: InstanceId, resource: ItemUid, judgeMs: number): boolean {
  const pair = pairs.get(resource)?.get(instance);
  if (pair === undefined || pair.returnedUntilMs !== null) return false;
  pair.probe = null;
  pair.returnedUntilMs = judgeMs + lengthMs(pair.times);
  return true;
}

/** The resource whose first pair is the oldest loses its pairs: a pool has few, and being in none is no harm. */
function makeRoom(pairs: Ejections): void {
  let count = 0;
  for (const ofResource of pairs.values()) count += ofResource.size;
  const [oldest] = count >= pairsAtMost ? pairs.keys() : [];
  if (oldest !== undefined) pairs.delete(oldest);
}

export function forgetPairsOf(pairs: Ejections, instance: InstanceId): void {
  for (const [resource, ofResource] of pairs) {
    if (ofResource.delete(instance) && ofResource.size === 0) pairs.delete(resource);
  }
}

/** Takes out what is over: returned ones past their time, and due ones that nobody asked for in ten minutes. */
export function sweepPairs(pairs: Ejections, judgeMs: number): void {
  for (const [resource, ofResource] of pairs) {
    for (const [instance, pair] of ofResource) {
      const overMs = pair.returnedUntilMs ?? pair.untilMs + ejectionTimes.mostMs;
      if (judgeMs >= overMs) ofResource.delete(instance);
    }
    if (ofResource.size === 0) pairs.delete(resource);
  }
}

/** How many resources this instance is ejected from. */
export function countPairsOf(pairs: Ejections, instance: InstanceId): number {
  let count = 0;
  for (const ofResource of pairs.values()) {
    const pair = ofResource.get(instance);
    if (pair !== undefined && pair.returnedUntilMs === null) count += 1;
  }
  return count;
}
