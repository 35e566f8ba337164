import type { InstanceId, ItemUid, StreamId } from '@sallyport/protocol';
import { eject, ejectionTimes, endProbe, forgetPairsOf, giveBack, isProbe, sweepPairs } from './ejections.ts';
import { type Opening, takeOldOpenings } from './openings.ts';
import type { Pool, PoolEffect, PoolEvent, RouterPools } from './pool-state.ts';

/** What is heard of a stream that was given to an instance. */
export type StreamWord = Extract<PoolEvent, { readonly stream: StreamId }>;

/**
 * Streams a member may have on their way to opening while it warms up. It begins with `first`, each one that it opened
 * adds one, and at `warm` there is no limit any more: a new process, or one that was away, is not met with a whole share
 * of a rush at once. At its limit a member is in class 1, never excluded: turns stay strict among those of class 0.
 */
export const slowStart = { first: 4, warm: 64 } as const;

/**
 * Takes an instance's word about a stream, or the router's own that the stream was not given to it after all.
 *
 * @see ejections.ts for E1 to E4
 */
export function takeWord(state: RouterPools, pool: Pool, word: StreamWord, effects: PoolEffect[]): void {
  const { instance, stream } = word;
  const { judgeMs, rules } = state;
  const opening = pool.openings.get(stream);
  const asked = opening?.asked.get(instance);
  if (opening === undefined || asked === undefined) return;
  if (asked.stage === 'counted') uncount(pool, instance);
  switch (word.kind) {
    case 'stream-released':
      endProbe(pool.ejections, instance, opening.resource, stream);
      opening.asked.delete(instance);
      if (opening.asked.size === 0) pool.openings.delete(stream);
      return;
    case 'stream-ended':
      if (asked.stage === 'counted') opening.asked.set(instance, { ...asked, stage: 'settled' });
      return;
    case 'stream-unreached':
      if (opening.openedBy === instance) return;
      opening.asked.set(instance, { ...asked, stage: 'unreached' });
      if (rules.isDifferential(opening)) accuse(pool, opening, instance, { judgeMs, chance: word.chance }, effects);
      return;
    case 'stream-opened':
      return opened(pool, opening, word, judgeMs, effects);
    default:
      return word satisfies never;
  }
}

function opened(
  pool: Pool,
  opening: Opening,
  word: StreamWord & { kind: 'stream-opened' },
  judgeMs: number,
  effects: PoolEffect[],
): void {
  const { instance, stream } = word;
  const { resource } = opening;
  opening.openedBy ??= instance;
  const member = pool.members.get(instance);
  if (member !== undefined) member.warmth += 1;
  if (giveBack(pool.ejections, instance, resource, judgeMs)) {
    effects.push({ kind: 'returned', gateway: pool.uid, instance, resource });
  }
  let open = 0;
  for (const [other, asked] of opening.asked) {
    if (other !== instance && asked.stage === 'counted') uncount(pool, other);
    if (other === instance) opening.asked.set(other, { ...asked, stage: 'settled' });
    else if (
      asked.stage === 'unreached' ||
      isFailedProbe(pool, other, { resource, stream, forMs: judgeMs - asked.atMs })
    ) {
      accuse(pool, opening, other, { judgeMs, chance: word.chance }, effects);
      opening.asked.delete(other);
    } else {
      opening.asked.set(other, { ...asked, stage: 'settled' });
      open += 1;
    }
  }
  // Somebody may still say that it could not reach the target.
  if (open === 0) pool.openings.delete(stream);
}

/**
 * Another opened the stream of this probe. That tells only when the probe had its second (the client's `probeMs`): who
 * leaves it at once and opens elsewhere shall not keep an instance ejected.
 */
function isFailedProbe(
  pool: Pool,
  instance: InstanceId,
  of: { readonly resource: ItemUid; readonly stream: StreamId; readonly forMs: number },
): boolean {
  if (!isProbe(pool.ejections, instance, of.resource, of.stream)) return false;
  if (of.forMs >= ejectionTimes.probeTellsMs) return true;
  endProbe(pool.ejections, instance, of.resource, of.stream);
  return false;
}

function accuse(
  pool: Pool,
  opening: Opening,
  instance: InstanceId,
  at: { readonly judgeMs: number; readonly chance: number },
  effects: PoolEffect[],
): void {
  const { resource } = opening;
  if (!pool.members.has(instance)) return;
  const pickedAtMs = opening.asked.get(instance)?.atMs ?? opening.sinceMs;
  const ejected = eject(pool.ejections, instance, resource, { ...at, pickedAtMs });
  if (ejected !== null) effects.push({ kind: 'ejected', gateway: pool.uid, instance, resource, ...ejected });
}

function uncount(pool: Pool, instance: InstanceId): void {
  const member = pool.members.get(instance);
  if (member !== undefined && member.openings > 0) member.openings -= 1;
}

/** An opening that was forgotten, by its age or for want of room. */
export function forgetOpening(pool: Pool, opening: Opening): void {
  for (const [instance, asked] of opening.asked) if (asked.stage === 'counted') uncount(pool, instance);
}

/** What time brings for streams on their way and for pairs. */
export function sweepEvidence(pool: Pool, judgeMs: number): void {
  pool.sweptAtMs = judgeMs;
  for (const opening of takeOldOpenings(pool.openings, judgeMs)) forgetOpening(pool, opening);
  if (pool.ejections.size > 0) sweepPairs(pool.ejections, judgeMs);
}

/** The instance is no member any more. */
export function forgetEvidenceOf(pool: Pool, instance: InstanceId): void {
  forgetPairsOf(pool.ejections, instance);
  for (const opening of pool.openings.values()) opening.asked.delete(instance);
}
