import {
  type ErrorCode,
  errorCatalog,
  type InstanceId,
  isRouterAway,
  PamError,
  type RefusedClass,
} from '@sallyport/protocol';

/**
 * How one accepted connection becomes an open stream: the retry that the client owns (architecture section 4, `open`).
 *
 * Stages of an attempt: routing → connecting → answered (the instance's first frame came) → opened | ended.
 *
 * O1 nothing of the user's is sent before OPENED, and nothing is tried after it: exactly one of `win` and `fail` comes,
 *    once, and every other attempt that still lives is abandoned with it.
 * O2 an instance that says nothing for 500 ms is passed over, not given up: the next is tried beside it and the first
 *    to open wins.
 * O3 two instances lost under one request end it: a request that kills instances does not go round the pool.
 * O4 the target's own word (refused, name, denied) is final; unreachable and timeout get one other instance, once. A
 *    probe (the instance could not reach the resource lately) gets it after 1 s, without waiting for its word.
 * O5 whatever happens, it is over at the deadline.
 */
export const openingLimits = {
  deadlineMs: 10_000,
  silentMs: 500,
  probeMs: 1_000,
  /** How long a pool without a ready instance is asked again: a standby is promoted within two seconds. */
  emptyPoolMs: 5_000,
  /** On average: the wait has full jitter, on top of what the router asks for. */
  askAgainMs: 250,
  leastWaitMs: 50,
  attempts: 8,
  lostInstances: 2,
} as const;

interface Attempt {
  readonly id: number;
  readonly phase: 'routing' | 'connecting' | 'answered';
  readonly instance: InstanceId | null;
  readonly sinceMs: number;
  /** It was passed over for its silence, or as a probe that takes long. */
  readonly passedOver: boolean;
  readonly probe: boolean;
}

export interface Opening {
  readonly startedAtMs: number;
  /** In [0, 1): spreads the waits of this opening, so that openings that failed together do not ask together. */
  readonly chance: number;
  readonly nextId: number;
  readonly attempts: readonly Attempt[];
  readonly not: readonly InstanceId[];
  readonly lost: number;
  readonly otherInstanceAsked: boolean;
  /** When the router is asked again after it had nobody or could not be reached; null: not waiting. */
  readonly askAgainAtMs: number | null;
  /** Since when the router has had no instance to give; null: it had one, or was not asked. */
  readonly emptySinceMs: number | null;
  readonly lastError: PamError | null;
  readonly over: boolean;
  /** Id of the attempt that won. */
  readonly winner: number | null;
}

export type OpeningEvent =
  | { readonly kind: 'start' }
  | { readonly kind: 'routed'; readonly id: number; readonly instance: InstanceId; readonly probe: boolean }
  | { readonly kind: 'route-failed'; readonly id: number; readonly error: PamError }
  | { readonly kind: 'answered'; readonly id: number }
  | { readonly kind: 'opened'; readonly id: number }
  | { readonly kind: 'refused'; readonly id: number; readonly class: RefusedClass; readonly error: PamError }
  | { readonly kind: 'failed'; readonly id: number; readonly error: PamError }
  | { readonly kind: 'tick' };

export type OpeningEffect =
  | { readonly kind: 'route'; readonly id: number; readonly not: readonly InstanceId[] }
  | { readonly kind: 'wake'; readonly atMs: number }
  | { readonly kind: 'win'; readonly id: number }
  | { readonly kind: 'abandon'; readonly id: number }
  | { readonly kind: 'fail'; readonly error: PamError };

export interface OpeningStep {
  readonly state: Opening;
  readonly effects: readonly OpeningEffect[];
}

export function newOpening(nowMs: number, chance: number): Opening {
  return {
    startedAtMs: nowMs,
    chance,
    nextId: 1,
    attempts: [],
    not: [],
    lost: 0,
    otherInstanceAsked: false,
    askAgainAtMs: null,
    emptySinceMs: null,
    lastError: null,
    over: false,
    winner: null,
  };
}

/** One step; pure. Events of attempts that are gone change nothing. */
export function stepOpening(state: Opening, event: OpeningEvent, nowMs: number): OpeningStep {
  if (state.over)
    return {
      state,
      effects: event.kind === 'opened' && event.id !== state.winner ? [{ kind: 'abandon', id: event.id }] : [],
    };
  if (event.kind === 'start') {
    return andThen(ask(state, nowMs), [{ kind: 'wake', atMs: state.startedAtMs + openingLimits.deadlineMs }]);
  }
  if (event.kind === 'tick') return tick(state, nowMs);
  const attempt = state.attempts.find((one) => one.id === event.id);
  if (attempt === undefined) {
    // One that was given up and opened all the same is reset; an id that was never given out is nobody's.
    const isLate = event.kind === 'opened' && event.id < state.nextId;
    return { state, effects: isLate ? [{ kind: 'abandon', id: event.id }] : [] };
  }
  switch (event.kind) {
    case 'routed':
      return {
        state: update(
          { ...state, emptySinceMs: null },
          { ...attempt, phase: 'connecting', instance: event.instance, probe: event.probe, sinceMs: nowMs },
        ),
        effects: [
          { kind: 'wake', atMs: nowMs + openingLimits.silentMs },
          ...(event.probe ? [{ kind: 'wake', atMs: nowMs + openingLimits.probeMs } as const] : []),
        ],
      };
    case 'answered':
      return { state: update(state, { ...attempt, phase: 'answered' }), effects: [] };
    case 'opened':
      return finish(drop(state, attempt.id), { kind: 'win', id: attempt.id });
    case 'route-failed':
      return routeFailed(drop(state, attempt.id), event.error, nowMs);
    case 'refused':
      return refused(drop(state, attempt.id), attempt, event, nowMs);
    case 'failed':
      return failed(drop(state, attempt.id), attempt, event.error, nowMs);
    default:
      return event satisfies never;
  }
}

function tick(state: Opening, nowMs: number): OpeningStep {
  if (nowMs >= state.startedAtMs + openingLimits.deadlineMs) {
    const late = new PamError(
      'PAM_TIMEOUT',
      `no instance opened the stream within ${openingLimits.deadlineMs / 1_000} s`,
    );
    return finish(state, { kind: 'fail', error: state.lastError ?? late });
  }
  const silent = state.attempts.filter(
    (one) => one.phase === 'connecting' && !one.passedOver && nowMs >= one.sinceMs + openingLimits.silentMs,
  );
  if (silent.length > 0) {
    return ask(exclude(passOver(state, silent), silent), nowMs);
  }
  const slow = state.attempts.filter(
    (one) => one.probe && !one.passedOver && one.instance !== null && nowMs >= one.sinceMs + openingLimits.probeMs,
  );
  if (slow.length > 0 && !state.otherInstanceAsked) {
    const passed = passOver(state, slow);
    return ask(exclude({ ...passed, otherInstanceAsked: true }, slow), nowMs);
  }
  if (state.askAgainAtMs !== null && nowMs >= state.askAgainAtMs) return ask({ ...state, askAgainAtMs: null }, nowMs);
  return { state, effects: [] };
}

function refused(
  state: Opening,
  attempt: Attempt,
  event: { readonly class: RefusedClass; readonly error: PamError },
  nowMs: number,
): OpeningStep {
  const known = { ...exclude(state, [attempt]), lastError: event.error };
  switch (event.class) {
    case 'refused':
    case 'name':
    case 'denied':
      return finish(known, { kind: 'fail', error: event.error });
    case 'unreachable':
    case 'timeout':
      if (state.otherInstanceAsked) {
        // A probe that was passed over may say its word while the other still dials.
        return known.attempts.length > 0
          ? { state: known, effects: [] }
          : finish(known, { kind: 'fail', error: event.error });
      }
      return ask({ ...known, otherInstanceAsked: true }, nowMs);
    case 'busy':
      return ask(known, nowMs);
    default:
      return event.class satisfies never;
  }
}

/** The leg or the instance behind it was lost; or one end did not believe the other, which is never tried again. */
function failed(state: Opening, attempt: Attempt, error: PamError, nowMs: number): OpeningStep {
  if (!isLoss(error.code)) return finish(state, { kind: 'fail', error });
  const lost = state.lost + (blamesInstance(error) ? 1 : 0);
  const known = { ...exclude(state, blamesInstance(error) ? [attempt] : []), lost, lastError: error };
  if (lost >= openingLimits.lostInstances) return finish(known, { kind: 'fail', error });
  if (attempt.passedOver && known.attempts.length > 0) return { state: known, effects: [] };
  return blamesInstance(error) ? ask(known, nowMs) : askLater(known, error, nowMs);
}

function routeFailed(state: Opening, error: PamError, nowMs: number): OpeningStep {
  if (errorCatalog[error.code].retry !== 'backoff') return finish(state, { kind: 'fail', error });
  if (error.code !== 'PAM_POOL_NO_READY_INSTANCE') return askLater({ ...state, lastError: error }, error, nowMs);
  const reached = state.lastError !== null && !isRouterAway(state.lastError.code);
  const word = reached ? state.lastError : error;
  const emptySinceMs = state.emptySinceMs ?? nowMs;
  const known = { ...state, lastError: word, emptySinceMs };
  if (state.otherInstanceAsked || nowMs - emptySinceMs >= openingLimits.emptyPoolMs) {
    return known.attempts.length > 0
      ? { state: known, effects: [] }
      : finish(known, { kind: 'fail', error: word ?? error });
  }
  return askLater(known, error, nowMs);
}

function askLater(state: Opening, error: PamError, nowMs: number): OpeningStep {
  const asked = error.detail['retryAfterMs'];
  const spread = 2 * openingLimits.askAgainMs * state.chance;
  const wait = typeof asked === 'number' ? asked + spread : Math.max(openingLimits.leastWaitMs, spread);
  const askAgainAtMs = nowMs + Math.round(wait);
  return { state: { ...state, askAgainAtMs }, effects: [{ kind: 'wake', atMs: askAgainAtMs }] };
}

function ask(state: Opening, nowMs: number): OpeningStep {
  const tried = state.attempts.length;
  if (state.nextId > openingLimits.attempts * 4 || tried >= openingLimits.attempts) return { state, effects: [] };
  const id = state.nextId;
  const attempt: Attempt = { id, phase: 'routing', instance: null, sinceMs: nowMs, passedOver: false, probe: false };
  return {
    state: { ...state, nextId: id + 1, askAgainAtMs: null, attempts: [...state.attempts, attempt] },
    effects: [{ kind: 'route', id, not: state.not }],
  };
}

function finish(state: Opening, last: Extract<OpeningEffect, { kind: 'win' | 'fail' }>): OpeningStep {
  const abandoned = state.attempts.map((one): OpeningEffect => ({ kind: 'abandon', id: one.id }));
  return {
    state: { ...state, attempts: [], askAgainAtMs: null, over: true, winner: last.kind === 'win' ? last.id : null },
    effects: [...abandoned, last],
  };
}

function passOver(state: Opening, attempts: readonly Attempt[]): Opening {
  return {
    ...state,
    attempts: state.attempts.map((one) => (attempts.includes(one) ? { ...one, passedOver: true } : one)),
  };
}

function update(state: Opening, attempt: Attempt): Opening {
  return { ...state, attempts: state.attempts.map((one) => (one.id === attempt.id ? attempt : one)) };
}

function drop(state: Opening, id: number): Opening {
  return { ...state, attempts: state.attempts.filter((one) => one.id !== id) };
}

function exclude(state: Opening, attempts: readonly Attempt[]): Opening {
  const more = attempts.flatMap((one) =>
    one.instance === null || state.not.includes(one.instance) ? [] : [one.instance],
  );
  return { ...state, not: [...state.not, ...more].slice(-16) };
}

function andThen(step: OpeningStep, more: readonly OpeningEffect[]): OpeningStep {
  return { state: step.state, effects: [...step.effects, ...more] };
}

const losses: readonly ErrorCode[] = [
  'PAM_LEG_FAILED',
  'PAM_STREAM_LOST',
  'PAM_TIMEOUT',
  'PAM_ROUTER_UNREACHABLE',
  'PAM_PROXY_UNREACHABLE',
  'PAM_PROXY_REFUSED',
  'PAM_DISPATCH_REFUSED',
];

/** A loss may be tried elsewhere; anything else is somebody's word or a reason for distrust. */
function isLoss(code: ErrorCode): boolean {
  return losses.includes(code);
}

/** Tickets that the router forgot, and a router that cannot be reached, are not the instance's doing. */
function blamesInstance(error: PamError): boolean {
  if (isRouterAway(error.code)) return false;
  const status = error.detail['status'];
  return error.code !== 'PAM_LEG_FAILED' || status === 'alone' || status === 'lost' || status === 'timeout';
}
