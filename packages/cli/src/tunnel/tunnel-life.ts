import type { PamError } from '@sallyport/protocol';

/**
 * Life of a tunnel that listens, as one synchronous step; `run-tunnel.ts` does what the effects say.
 *
 *     ready ⇄ checking(after a sleep) · ready|checking → signed-out → ready · … ⇄ router-away
 *
 * B1 neither the end of a sign-in nor a router that is away ends the tunnel, nor somebody else who answers in its place
 *    (a captive portal, to whom nothing is sent): only what an operator decided does.
 * B2 while signed out a connection is refused at once, without a call; the profile is read again every 2 s.
 * B3 after the machine slept, connections wait until sign-in and router were looked at, at most 10 s.
 * B4 at most one look, touch or renewal is under way.
 * B5 each connection is told exactly once what becomes of it: carried or refused.
 * B6 a change of state is said once.
 */
export const tunnelTimes = {
  touchEveryMs: 30_000,
  lookEveryMs: 2_000,
  /** Wall time that passed beyond what this process saw of it: the machine slept, or we were stopped. */
  sleptMs: 5_000,
  /** A router that is away is asked again after full jitter up to twice as long each time, to 30 s. */
  awayBaseMs: 1_000,
  awayMaxMs: 30_000,
  holdMs: 10_000,
  heldConnections: 64,
} as const;

type Phase =
  | { readonly kind: 'ready' }
  | { readonly kind: 'checking'; readonly untilMs: number }
  | { readonly kind: 'signed-out'; readonly sinceMs: number }
  | { readonly kind: 'router-away'; readonly sinceMs: number; readonly tries: number };

export interface TunnelLife {
  readonly phase: Phase;
  /** What is under way at the edge. */
  readonly busy: 'touch' | 'look' | 'renew' | null;
  /** Monotonic time of the next touch, look or renewal. */
  readonly nextAtMs: number;
  /** A newer sign-in was seen and is not taken over yet. */
  readonly renewDue: boolean;
  /** Wall time at which the sign-in ends. */
  readonly signInEndsAtMs: number;
  /** Since the router was last heard somebody else answered in its place, and that was said. */
  readonly impostorSaid: boolean;
  /** Connections that wait for a check. */
  readonly held: readonly number[];
  readonly seen: { readonly monotonicMs: number; readonly wallMs: number };
  readonly over: boolean;
}

export type TunnelLifeEvent =
  | { readonly kind: 'tick' }
  | { readonly kind: 'connection'; readonly id: number }
  /** A stream was refused because the sign-in is over. */
  | { readonly kind: 'signed-out' }
  /** Somebody ended a stream: the router is asked at once whether it was the whole session. */
  | { readonly kind: 'killed' }
  | { readonly kind: 'touched'; readonly result: Kept }
  /** The profile was read: whether it has a sign-in that is not the one in use. */
  | { readonly kind: 'looked'; readonly found: boolean }
  | { readonly kind: 'renewed'; readonly result: Kept; readonly signInEndsAtMs: number };

/** How a call that keeps the tunnel went. `impostor`: who answered does not hold the router's key. `ended`: an operator's decision, or a reason for distrust. */
export type Kept =
  | { readonly kind: 'ok' | 'signed-out' | 'away' | 'impostor' }
  | { readonly kind: 'ended'; readonly error: PamError };

type TunnelSaying = 'signed-out' | 'signed-in' | 'router-away' | 'router-impostor' | 'router-back';

export type TunnelLifeEffect =
  | { readonly kind: 'carry' | 'refuse'; readonly id: number }
  | { readonly kind: 'touch' | 'look' | 'renew' }
  | { readonly kind: 'say'; readonly what: TunnelSaying }
  | { readonly kind: 'end'; readonly error: PamError };

export interface TunnelLifeStep {
  readonly state: TunnelLife;
  readonly effects: readonly TunnelLifeEffect[];
}

/** Readings of the clocks, and one number in [0, 1) for jitter. */
export interface TunnelNow {
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly random: number;
}

export function newTunnelLife(signInEndsAtMs: number, now: TunnelNow): TunnelLife {
  return {
    phase: { kind: 'ready' },
    busy: null,
    nextAtMs: now.monotonicMs + tunnelTimes.touchEveryMs,
    renewDue: false,
    signInEndsAtMs,
    impostorSaid: false,
    held: [],
    seen: now,
    over: false,
  };
}

/** Monotonic time at which the next `tick` is due; null while an answer is waited for. */
export function tunnelWakeAtMs(state: TunnelLife): number | null {
  const untilMs = state.phase.kind === 'checking' ? state.phase.untilMs : null;
  if (state.busy !== null) return untilMs;
  return Math.min(state.nextAtMs, untilMs ?? Number.POSITIVE_INFINITY);
}

/** One event. Never throws. */
export function stepTunnelLife(before: TunnelLife, event: TunnelLifeEvent, now: TunnelNow): TunnelLifeStep {
  if (before.over)
    return { state: before, effects: event.kind === 'connection' ? [{ kind: 'refuse', id: event.id }] : [] };
  const state: TunnelLife = { ...before, seen: now };
  const slept = hasSlept(before, now) ? afterSleep(state, now) : { state, effects: [] };
  const step = apply(slept.state, event, now);
  return { state: step.state, effects: [...slept.effects, ...step.effects] };
}

function hasSlept(state: TunnelLife, now: TunnelNow): boolean {
  const wall = now.wallMs - state.seen.wallMs;
  const own = now.monotonicMs - state.seen.monotonicMs;
  if (wall - own > tunnelTimes.sleptMs) return true;
  const wakeAtMs = tunnelWakeAtMs(state);
  return wakeAtMs !== null && now.monotonicMs - Math.max(wakeAtMs, state.seen.monotonicMs) > tunnelTimes.sleptMs;
}

function afterSleep(state: TunnelLife, now: TunnelNow): TunnelLifeStep {
  const due = { ...state, nextAtMs: now.monotonicMs };
  if (state.phase.kind === 'signed-out') return next(due, now);
  if (state.phase.kind === 'router-away') return next(due, now);
  return next({ ...due, phase: { kind: 'checking', untilMs: now.monotonicMs + tunnelTimes.holdMs } }, now);
}

function apply(state: TunnelLife, event: TunnelLifeEvent, now: TunnelNow): TunnelLifeStep {
  switch (event.kind) {
    case 'tick':
      return tick(state, now);
    case 'connection':
      return connection(state, event.id, now);
    case 'signed-out':
      return state.phase.kind === 'signed-out' ? stay(state) : look(state);
    case 'killed':
      return next({ ...state, nextAtMs: now.monotonicMs }, now);
    case 'looked':
      return looked({ ...state, busy: null }, event.found, now);
    case 'touched':
      // Somebody may have signed in anew meanwhile: the profile is asked before the tunnel is called signed out.
      return event.result.kind === 'signed-out'
        ? begin({ ...state, busy: null }, 'look')
        : kept({ ...state, busy: null }, event.result, now);
    case 'renewed': {
      const isDue = event.result.kind === 'away' || event.result.kind === 'impostor';
      const done = { ...state, busy: null, renewDue: isDue };
      if (event.result.kind !== 'ok') return kept(done, event.result, now);
      const step = kept({ ...done, signInEndsAtMs: event.signInEndsAtMs }, event.result, now);
      return state.phase.kind === 'signed-out' ? andThen(step, [{ kind: 'say', what: 'signed-in' }]) : step;
    }
    default:
      return event satisfies never;
  }
}

function stay(state: TunnelLife): TunnelLifeStep {
  return { state, effects: [] };
}

function andThen(step: TunnelLifeStep, more: readonly TunnelLifeEffect[]): TunnelLifeStep {
  return { state: step.state, effects: [...step.effects, ...more] };
}

/** Starts what is due, unless something is under way. */
function next(state: TunnelLife, now: TunnelNow): TunnelLifeStep {
  if (state.busy !== null || now.monotonicMs < state.nextAtMs) return stay(state);
  if (state.renewDue) return begin(state, 'renew');
  if (state.phase.kind === 'signed-out' || isOver(state, now)) return begin(state, 'look');
  return begin(state, 'touch');
}

function begin(state: TunnelLife, what: 'touch' | 'look' | 'renew'): TunnelLifeStep {
  return { state: { ...state, busy: what }, effects: [{ kind: what }] };
}

function look(state: TunnelLife): TunnelLifeStep {
  return state.busy === null ? begin(state, 'look') : stay(state);
}

/** By this machine's clock; the router's word comes with a touch. */
function isOver(state: TunnelLife, now: TunnelNow): boolean {
  return now.wallMs >= state.signInEndsAtMs;
}

function tick(state: TunnelLife, now: TunnelNow): TunnelLifeStep {
  const { phase } = state;
  if (phase.kind !== 'checking' || now.monotonicMs < phase.untilMs) return next(state, now);
  const released = release({ ...state, phase: { kind: 'ready' } }, 'carry');
  const step = next(released.state, now);
  return { state: step.state, effects: [...released.effects, ...step.effects] };
}

function connection(state: TunnelLife, id: number, now: TunnelNow): TunnelLifeStep {
  switch (state.phase.kind) {
    case 'signed-out':
      return { state, effects: [{ kind: 'refuse', id }] };
    case 'checking':
      if (state.held.length >= tunnelTimes.heldConnections) return { state, effects: [{ kind: 'refuse', id }] };
      return { state: { ...state, held: [...state.held, id] }, effects: [] };
    case 'ready': {
      if (!isOver(state, now)) return { state, effects: [{ kind: 'carry', id }] };
      const untilMs = now.monotonicMs + tunnelTimes.holdMs;
      return look({ ...state, phase: { kind: 'checking', untilMs }, held: [...state.held, id] });
    }
    case 'router-away':
      // Its own tries last 10 s: a router that comes back meanwhile serves it.
      return { state, effects: [{ kind: 'carry', id }] };
    default:
      return state.phase satisfies never;
  }
}

function looked(state: TunnelLife, found: boolean, now: TunnelNow): TunnelLifeStep {
  if (found) return begin({ ...state, renewDue: true }, 'renew');
  return kept(state, { kind: 'signed-out' }, now);
}

function kept(state: TunnelLife, result: Kept, now: TunnelNow): TunnelLifeStep {
  switch (result.kind) {
    case 'ok':
      return ready(state, now);
    case 'away':
    case 'impostor':
      return away(state, result.kind === 'impostor', now);
    case 'signed-out':
      return signedOut(state, now);
    case 'ended': {
      const { state: ended, effects } = release({ ...state, over: true }, 'refuse');
      return { state: ended, effects: [...effects, { kind: 'end', error: result.error }] };
    }
    default:
      return result satisfies never;
  }
}

function ready(state: TunnelLife, now: TunnelNow): TunnelLifeStep {
  const back: readonly TunnelLifeEffect[] =
    state.phase.kind === 'router-away' ? [{ kind: 'say', what: 'router-back' }] : [];
  const touchAtMs = now.monotonicMs + tunnelTimes.touchEveryMs;
  const { effects, ...released } = release(
    { ...state, phase: { kind: 'ready' }, nextAtMs: touchAtMs, impostorSaid: false },
    'carry',
  );
  return { ...released, effects: [...back, ...effects] };
}

function away(state: TunnelLife, isImpostor: boolean, now: TunnelNow): TunnelLifeStep {
  const { phase } = state;
  const tries = phase.kind === 'router-away' ? phase.tries + 1 : 1;
  const ceiling = Math.min(tunnelTimes.awayMaxMs, tunnelTimes.awayBaseMs * 2 ** Math.min(tries, 10));
  const nextAtMs = now.monotonicMs + Math.max(200, now.random * ceiling);
  const impostorSaid = state.impostorSaid || isImpostor;
  const impostor: readonly TunnelLifeEffect[] =
    isImpostor && !state.impostorSaid ? [{ kind: 'say', what: 'router-impostor' }] : [];
  // Signed out stays the more useful word: only a sign-in helps.
  if (phase.kind === 'signed-out') return { state: { ...state, nextAtMs, impostorSaid }, effects: impostor };
  const sinceMs = phase.kind === 'router-away' ? phase.sinceMs : now.wallMs;
  const isNews = phase.kind !== 'router-away' && !isImpostor;
  const news: readonly TunnelLifeEffect[] = isNews ? [{ kind: 'say', what: 'router-away' }] : impostor;
  const { effects, ...released } = release(
    { ...state, nextAtMs, impostorSaid, phase: { kind: 'router-away', sinceMs, tries } },
    'carry',
  );
  return { ...released, effects: [...news, ...effects] };
}

function signedOut(state: TunnelLife, now: TunnelNow): TunnelLifeStep {
  const nextAtMs = now.monotonicMs + tunnelTimes.lookEveryMs;
  if (state.phase.kind === 'signed-out') return stay({ ...state, nextAtMs });
  const phase: Phase = { kind: 'signed-out', sinceMs: now.wallMs };
  const { effects, ...released } = release({ ...state, nextAtMs, phase }, 'refuse');
  return { ...released, effects: [{ kind: 'say', what: 'signed-out' }, ...effects] };
}

function release(state: TunnelLife, kind: 'carry' | 'refuse'): TunnelLifeStep {
  return { state: { ...state, held: [] }, effects: state.held.map((id) => ({ kind, id })) };
}
