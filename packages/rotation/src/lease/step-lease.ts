import { type Clocks, elapsedMs } from './clocks.ts';

/**
 * The work lease as its holder sees it: the right of one instance to change targets for its jobs.
 *
 * Stages: none → acting → fenced → acting (the same lease was still there) or none (it was given away).
 *
 * I14 A holder counts from SENDING the renewal that was answered, never from the answer. After `fenceMs` it stops acting
 * until it has asked again; the claimant waits longer than that (`observeLeases`), and what was permitted before ends
 * within `quiesceMs`: F(1+ρ) + Q ≤ W(1−ρ).
 */
export interface LeaseState {
  readonly times: LeaseTimes;
  readonly held: { readonly lease: number; readonly askedAt: Clocks } | null;
  /** Highest lease that was ever answered; 0: none. */
  readonly highest: number;
  /** No effect begins while this is false. */
  readonly acts: boolean;
  /** When the question that is under way was sent. */
  readonly asking: Clocks | null;
  /** When the last question was sent, answered or not. */
  readonly lastAsked: Clocks | null;
}

export interface LeaseTimes {
  /** F: without an answer for so long the holder stops. */
  readonly fenceMs: number;
  readonly renewalMs: number;
  /** A question without an answer is given up after this, and asked again. */
  readonly answerMs: number;
}

export type LeaseEvent =
  | { readonly type: 'tick' }
  /** `askedAt`: the reading that came with the question; `times`: settings of the router, they hold from now on. */
  | { readonly type: 'answered'; readonly lease: number; readonly askedAt: Clocks; readonly times: LeaseTimes }
  /** PAM_LEASE_LOST. */
  | { readonly type: 'lost'; readonly askedAt: Clocks }
  /** The question failed: no link, store away. */
  | { readonly type: 'unanswered'; readonly askedAt: Clocks };

export type LeaseEffect =
  /**
   * lease.renew, with this reading of the clocks kept for the answer. `lease` null: for a new one above `after`; asked twice,
   * or late, it is the same one, so that an old question takes nothing from what the holder has by now.
   */
  | { readonly do: 'ask'; readonly lease: number | null; readonly after: number; readonly askedAt: Clocks }
  /** Jobs may be claimed under this lease, and go on. */
  | { readonly do: 'go'; readonly lease: number }
  /** Begin no effect; a write that was permitted and has not gone out is not sent. The jobs are still ours, perhaps. */
  | { readonly do: 'hold'; readonly lease: number }
  /** Somebody else goes on with the jobs: every one is abandoned without a word. */
  | { readonly do: 'abandon'; readonly lease: number };

export function beginLease(times: LeaseTimes): LeaseState {
  return { times, held: null, highest: 0, acts: false, asking: null, lastAsked: null };
}

/** May an effect begin at this very reading? Asked in the turn that begins it: a tick may be overdue. */
export function mayAct(state: LeaseState, now: Clocks): boolean {
  return state.acts && state.held !== null && elapsedMs(state.held.askedAt, now) < state.times.fenceMs;
}

export function stepLease(
  state: LeaseState,
  event: LeaseEvent,
  now: Clocks,
): { readonly state: LeaseState; readonly effects: readonly LeaseEffect[] } {
  const effects: LeaseEffect[] = [];
  let next = fence(state, now, effects);
  switch (event.type) {
    case 'tick':
      break;
    case 'answered':
      next = answered(next, event, now, effects);
      break;
    case 'lost':
      // An answer to a question from before the lease that we hold now says nothing about it.
      if (next.held !== null && !isOlder(event.askedAt, next.held.askedAt)) {
        effects.push({ do: 'abandon', lease: next.held.lease });
        next = { ...next, held: null, acts: false };
      }
      next = settled(next, event.askedAt);
      break;
    case 'unanswered':
      next = settled(next, event.askedAt);
      break;
    default:
      return event satisfies never;
  }
  return { state: ask(next, now, effects), effects };
}

function fence(state: LeaseState, now: Clocks, effects: LeaseEffect[]): LeaseState {
  if (!state.acts || state.held === null || mayAct(state, now)) return state;
  effects.push({ do: 'hold', lease: state.held.lease });
  return { ...state, acts: false };
}

function answered(
  state: LeaseState,
  event: LeaseEvent & { type: 'answered' },
  now: Clocks,
  effects: LeaseEffect[],
): LeaseState {
  const rest = settled({ ...state, times: event.times }, event.askedAt);
  const { held } = state;
  if (held !== null && isOlder(event.askedAt, held.askedAt)) return rest;
  if (held !== null && held.lease !== event.lease) effects.push({ do: 'abandon', lease: held.lease });
  const highest = Math.max(state.highest, event.lease);
  const renewed = { ...rest, highest, held: { lease: event.lease, askedAt: event.askedAt } };
  const acts = elapsedMs(event.askedAt, now) < event.times.fenceMs;
  if (acts && (!state.acts || held?.lease !== event.lease)) effects.push({ do: 'go', lease: event.lease });
  return { ...renewed, acts };
}

function ask(state: LeaseState, now: Clocks, effects: LeaseEffect[]): LeaseState {
  const waits = state.asking !== null && elapsedMs(state.asking, now) < state.times.answerMs;
  if (waits) return state;
  const isDue = state.lastAsked === null || elapsedMs(state.lastAsked, now) >= state.times.renewalMs;
  if (!isDue) return { ...state, asking: null };
  effects.push({ do: 'ask', lease: state.held?.lease ?? null, after: state.highest, askedAt: now });
  return { ...state, asking: now, lastAsked: now };
}

function settled(state: LeaseState, askedAt: Clocks): LeaseState {
  return state.asking !== null && state.asking.monotonicMs === askedAt.monotonicMs ? { ...state, asking: null } : state;
}

function isOlder(a: Clocks, b: Clocks): boolean {
  return a.monotonicMs < b.monotonicMs;
}
