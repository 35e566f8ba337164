import type { LinkParams } from '@sallyport/protocol';

/**
 * How one instance leaves, as one synchronous step; `drain-runner.ts` does what the effects say.
 *
 *     serve ⇄ cordon → draining(by, until) → ending → over
 *
 * L1 a drain ends no stream before its deadline; at the deadline what is left is reset as `drained` (I11).
 * L2 a drain is one way, and its deadline only moves earlier: by an operator's word, never by a clock that was set.
 * L3 whoever runs a stream here is told once, and once more when the deadline moved earlier by over a second.
 * L4 when nothing runs, or after the deadline, comes `leave`, once. A second signal leaves at once.
 * L5 a drain of our own (a signal) is reported on every link until we are gone.
 *
 * @see architecture section 4, rows "drain, SIGTERM" and "nothing left running"; docs/adr/0009-leaving.md
 */
export interface DrainState {
  readonly phase: 'open' | 'draining' | 'ending' | 'over';
  /** Only while open. */
  readonly cordoned: boolean;
  /** Who began it; null while open. */
  readonly by: 'operator' | 'gateway' | 'surplus' | null;
  /** Monotonic milliseconds; meaningless while open. */
  readonly untilMs: number;
  /** The router's name for the deadline it told last. */
  readonly toldDeadlineAtMs: number | null;
  /** A signal began it, or came while it ran. */
  readonly ownDeadlineMs: number | null;
}

export type DrainEvent =
  | { readonly kind: 'told'; readonly intent: LinkParams<'link.intent'>['intent'] }
  /** SIGTERM, SIGINT, the end of stdin. */
  | { readonly kind: 'signalled'; readonly deadlineInMs: number }
  /** A second signal. */
  | { readonly kind: 'hurried' }
  /** A link is up and admitted. */
  | { readonly kind: 'linked' }
  /** Nothing runs here. */
  | { readonly kind: 'emptied' }
  | { readonly kind: 'tick' };

export type DrainEffect =
  /** Take nothing new; `for-good`: and never again. */
  | { readonly kind: 'hold'; readonly how: 'serve' | 'cordon' | 'for-good' }
  | { readonly kind: 'notify'; readonly by: 'operator' | 'gateway' | 'surplus'; readonly deadlineInMs: number }
  | { readonly kind: 'report'; readonly deadlineInMs: number }
  | { readonly kind: 'reset'; readonly reason: 'drained' | 'stopped' }
  | { readonly kind: 'leave'; readonly reason: 'drained' | 'stopped' }
  | { readonly kind: 'wake'; readonly atMs: number };

export interface DrainStep {
  readonly state: DrainState;
  readonly effects: readonly DrainEffect[];
}

const drainTimes = {
  /** A deadline that moved by less is the same one, told over a wire. */
  sameMs: 1_000,
  /** Streams that were reset are gone within this time; then we leave without them. */
  endingMs: 5_000,
} as const;

export function newDrainState(): DrainState {
  return {
    phase: 'open',
    cordoned: false,
    by: null,
    untilMs: 0,
    toldDeadlineAtMs: null,
    ownDeadlineMs: null,
  };
}

const nothing: readonly DrainEffect[] = [];

/** One event; never throws. @param nowMs - monotonic milliseconds. */
export function stepDrain(state: DrainState, event: DrainEvent, nowMs: number): DrainStep {
  const unchanged: DrainStep = { state, effects: nothing };
  if (state.phase === 'over') return unchanged;
  switch (event.kind) {
    case 'told':
      return told(state, event.intent, nowMs);
    case 'signalled': {
      const ownDeadlineMs = nowMs + event.deadlineInMs;
      const next = begin({ ...state, ownDeadlineMs }, 'gateway', ownDeadlineMs, nowMs);
      return { state: next.state, effects: [...next.effects, report(next.state, nowMs)] };
    }
    case 'hurried':
      return {
        state: { ...state, phase: 'over' },
        effects: [
          { kind: 'hold', how: 'for-good' },
          { kind: 'reset', reason: 'stopped' },
          { kind: 'leave', reason: 'stopped' },
        ],
      };
    case 'linked':
      return state.ownDeadlineMs === null ? unchanged : { state, effects: [report(state, nowMs)] };
    case 'emptied':
      if (state.phase === 'open') return unchanged;
      return { state: { ...state, phase: 'over' }, effects: [{ kind: 'leave', reason: 'drained' }] };
    case 'tick':
      return tick(state, nowMs);
    default:
      return event satisfies never;
  }
}

function told(state: DrainState, intent: LinkParams<'link.intent'>['intent'], nowMs: number): DrainStep {
  if (intent.kind !== 'drain') {
    const cordoned = intent.kind === 'cordon';
    if (state.phase !== 'open' || state.cordoned === cordoned) return { state, effects: nothing };
    return { state: { ...state, cordoned }, effects: [{ kind: 'hold', how: intent.kind }] };
  }
  // The same deadline again, or our own word come back: this process has counted it from its beginning.
  const known =
    intent.deadlineAtMs === state.toldDeadlineAtMs || (intent.by === 'gateway' && state.ownDeadlineMs !== null);
  const heard: DrainState = { ...state, toldDeadlineAtMs: intent.deadlineAtMs };
  return known ? { state: heard, effects: nothing } : begin(heard, intent.by, nowMs + intent.deadlineInMs, nowMs);
}

function begin(state: DrainState, by: 'operator' | 'gateway' | 'surplus', untilMs: number, nowMs: number): DrainStep {
  const isNew = state.phase === 'open';
  if (state.phase === 'ending') return { state, effects: nothing };
  if (!isNew && untilMs > state.untilMs - drainTimes.sameMs) return { state, effects: nothing };
  const effects: DrainEffect[] = [
    { kind: 'notify', by, deadlineInMs: Math.max(0, untilMs - nowMs) },
    { kind: 'wake', atMs: untilMs },
  ];
  if (isNew) effects.unshift({ kind: 'hold', how: 'for-good' });
  return { state: { ...state, phase: 'draining', by, untilMs }, effects };
}

function report(state: DrainState, nowMs: number): DrainEffect {
  return { kind: 'report', deadlineInMs: Math.max(0, Math.round(state.untilMs - nowMs)) };
}

function tick(state: DrainState, nowMs: number): DrainStep {
  if (state.phase === 'open') return { state, effects: nothing };
  // Timers count whole milliseconds and may be a fraction early.
  if (nowMs < state.untilMs) return { state, effects: [{ kind: 'wake', atMs: state.untilMs }] };
  if (state.phase === 'draining') {
    const untilMs = nowMs + drainTimes.endingMs;
    return {
      state: { ...state, phase: 'ending', untilMs },
      effects: [
        { kind: 'reset', reason: 'drained' },
        { kind: 'wake', atMs: untilMs },
      ],
    };
  }
  return { state: { ...state, phase: 'over' }, effects: [{ kind: 'leave', reason: 'drained' }] };
}
