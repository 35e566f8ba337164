import { type Candidate, nextTurn } from '@sallyport/protocol';
import { follows } from './held-news.ts';
import type { PoolDelta } from './member.ts';
import type { Member, Pool, RouterPools } from './pool-state.ts';
import { classOf, type RouteRequest } from './route.ts';
import type { Opening } from './openings.ts';
import type { PoolTiming } from './timing.ts';

/**
 * The rules that an earlier plan had wrong, each a function of its own, so that the simulation can plant the wrong one
 * and see that it is found (F3, F5, F12, F16).
 */
export interface PoolRules {
  /** Whose turn it is among candidates in order of seq, after the cursor. */
  nextTurn(candidates: readonly Candidate[], cursor: number): Candidate | null;
  /** How much of the time between two events the judge was running. */
  runningMs(gapMs: number, timing: PoolTiming): number;
  /** The link that dispatches to a member go over; null when there is none. */
  dispatchLink(pool: Pool, member: Member): string | null;
  /** Preference for a member that is not excluded. */
  classOf(
    state: RouterPools,
    pool: Pool,
    member: Member,
    request: RouteRequest,
  ): Pick<Candidate, 'class' | 'note' | 'untilMs'>;
  /** Does it say something about the instance that it could not reach the target of this stream? */
  isDifferential(opening: Opening): boolean;
  /** Is all that was before these changes known at this version? */
  follows(delta: PoolDelta, version: number): boolean;
}

/** A gap that a running judge does not show is a pause, and counts as one look (I7). */
function runningMs(gapMs: number, timing: PoolTiming): number {
  return gapMs > timing.pauseMs ? timing.tickMs : Math.max(0, gapMs);
}

export const productionRules: PoolRules = {
  nextTurn,
  runningMs,
  // Only a link whose admission was committed becomes a member's; one that is joining does not count.
  dispatchLink: (_pool, member) => member.link?.id ?? null,
  classOf,
  isDifferential: (opening) => opening.openedBy !== null,
  follows,
};
