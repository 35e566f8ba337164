import type { Decision } from '@sallyport/protocol';
import type { Member, Pool } from './pool-state.ts';
import type { PoolTiming } from './timing.ts';

type Candidate = Decision['candidates'][number];

/**
 * The three rules that an earlier plan had wrong, each a function of its own, so that the simulation can plant the
 * wrong one and see that it is found (F3, F5, F16).
 */
export interface PoolRules {
  /** Whose turn it is among candidates in order of seq, after the cursor. */
  nextTurn(candidates: readonly Candidate[], cursor: number): Candidate | null;
  /** How much of the time between two events the judge was running. */
  runningMs(gapMs: number, timing: PoolTiming): number;
  /** The link that dispatches to a member go over; null when there is none. */
  dispatchLink(pool: Pool, member: Member): string | null;
}

/**
 * The first of the best class after `cursor`, cyclic by seq.
 *
 * I3: between two picks of a member every other that stayed in the best class is picked exactly once.
 */
export function nextTurn(candidates: readonly Candidate[], cursor: number): Candidate | null {
  let best: Candidate | null = null;
  let bestAhead = false;
  for (const candidate of candidates) {
    if (candidate.class === null) continue;
    const ahead = candidate.seq > cursor;
    const better =
      best === null ||
      best.class === null ||
      candidate.class < best.class ||
      (candidate.class === best.class && ahead && !bestAhead);
    if (better) {
      best = candidate;
      bestAhead = ahead;
    }
  }
  return best;
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
};
