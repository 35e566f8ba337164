import { type ErrorCode, type MembershipView, PamError } from '@sallyport/protocol';

/**
 * Life of the control link, as one synchronous step; the runner (`link-runner.ts`) does what the effects say.
 *
 *     waiting → dialling → queued → greeting → proving → admitted(slot | standby) → waiting → …          → stopped
 *
 * L1 a failure is said once: again only when its code changes or after something else was said.
 * L2 the first redial comes 0–200 ms after a loss, later ones after full jitter up to 10 s, 3 s where a slot is held,
 *    250 ms while streams run here; a retry-after is obeyed. Where a router lets us connect and closes before our handshake,
 *    does not come to it or names a retry-after, it is there and others want the same: the jitter goes on doubling, to 60 s, 10 s where a slot
 *    is held, 3 s while streams run here.
 * L3 no pong for twice S cuts the link; time in which this process did not run is not counted.
 * L4 events of a link that was replaced change nothing.
 * L5 a refusal that no waiting cures ends the program; once admitted, only the removal of the gateway or its keys does.
 * L6 a router that says twice in a row that another live process has this identity is believed, and the link gives up:
 *    the program begins anew as another instance (`start-command.ts`). Once may be our own ghost.
 * L7 a connection that waits for its handshake is worth more than a new one, which would wait behind it: it has 60 s where
 *    another router may be tried, and longer than any crowd takes where there is none.
 *
 * @see architecture section 4, table of times
 */
export const linkTimes = {
  dialWithinMs: 10_000,
  /** A connection waits in the router's queue for its turn, and costs nobody anything there. */
  queuedWithinMs: 60_000,
  /** Ten thousand at 33 a second. Who hangs up after 60 s goes to the end, and takes the work for his handshake with him. */
  queuedAtOnlyRouterMs: 300_000,
  greetWithinMs: 10_000,
  proveWithinMs: 20_000,
  firstRedialMs: 200,
  redialBaseMs: 400,
  redialMaxMs: 10_000,
  /** The same for one that holds a slot: with its dial it fits into RG, in which the router keeps the slot. */
  heldRedialMaxMs: 3_000,
  /** While streams run here. */
  carryingRedialMs: 250,
  /** The same three at a router to which many come. */
  crowdRedialMaxMs: 60_000,
  heldCrowdRedialMaxMs: 10_000,
  carryingCrowdRedialMaxMs: 3_000,
  carryingCrowdBaseMs: 125,
  /** An admission shorter than this does not start the row of redials anew. */
  settledAfterMs: 1_000,
  /** A timer later than this was held up by a pause of this process. */
  pauseMs: 250,
  /**
   * After the first refusal of our identity: a link of our own that the router still takes for alive can have answered
   * with bytes that were under way when it was cut. By now it cannot any more.
   */
  ghostMs: 2_500,
} as const;

export interface LinkSettings {
  /** Number of routers in the join configuration, 1 to 8. */
  readonly routers: number;
  /** Streams run here: whoever resumes one finds it only over this link. */
  readonly carries: boolean;
}

type LinkPhase =
  | { readonly kind: 'idle' }
  | { readonly kind: 'waiting'; readonly untilMs: number }
  | { readonly kind: 'dialling' | 'queued' | 'greeting' | 'proving'; readonly untilMs: number }
  | {
      readonly kind: 'admitted';
      readonly membership: MembershipView;
      readonly beatMs: number;
      readonly suspectMs: number;
      readonly sinceMs: number;
      readonly sentSeq: number;
      readonly heardSeq: number;
      readonly heardAtMs: number;
      readonly beatAtMs: number;
    }
  | { readonly kind: 'stopped' };

export interface LinkState {
  readonly phase: LinkPhase;
  /** Number of the link that is dialled or up; grows with each dial. */
  readonly link: number;
  /** Index of the router that is dialled. */
  readonly router: number;
  readonly failures: number;
  /** Admitted once, with a verified trust log: from then on streams may run here. */
  readonly everSettled: boolean;
  /** Hellos refused as duplicates since the last admission. */
  readonly duplicates: number;
  /** The slot this instance believes to hold, kept over a loss of the link. */
  readonly held: { readonly seq: number; readonly epoch: number } | null;
  /** What was said since the last admission, it included, so that nothing is said twice. */
  readonly said: readonly string[];
}

export type LinkEvent =
  | { readonly kind: 'start' | 'tick' | 'stop' }
  /** `reached`: by TCP. `connected`: TLS and WebSocket are up. `settled`: after admission, trust log and keys were fetched and verified. */
  | { readonly kind: 'reached' | 'connected' | 'challenged' | 'settled'; readonly link: number }
  | {
      readonly kind: 'admitted';
      readonly link: number;
      readonly membership: MembershipView;
      readonly beatMs: number;
      readonly suspectMs: number;
    }
  | { readonly kind: 'membership'; readonly link: number; readonly membership: MembershipView }
  | { readonly kind: 'pong'; readonly link: number; readonly seq: number; readonly beatMs: number }
  /** A dial, a proof or an established link ended. */
  | { readonly kind: 'lost'; readonly link: number; readonly error: PamError };

export type LinkSaying =
  | { readonly kind: 'slot'; readonly seq: number; readonly epoch: number; readonly promoted: boolean }
  | { readonly kind: 'standby'; readonly position: number; readonly reason: string }
  | { readonly kind: 'unreachable' | 'lost'; readonly error: PamError };

export type LinkEffect =
  | { readonly kind: 'dial'; readonly link: number; readonly router: number }
  /** Echo leg, then hello. */
  | { readonly kind: 'prove'; readonly link: number }
  | { readonly kind: 'ping'; readonly link: number; readonly seq: number; readonly heard: number }
  | { readonly kind: 'cut'; readonly link: number; readonly why: 'no-pong' | 'late' | 'failed' | 'stopped' }
  | { readonly kind: 'say'; readonly what: LinkSaying }
  | { readonly kind: 'give-up'; readonly error: PamError };

export interface LinkStep {
  readonly state: LinkState;
  readonly effects: readonly LinkEffect[];
}

/** Monotonic milliseconds and one number in [0, 1) for jitter. */
export interface LinkNow {
  readonly nowMs: number;
  readonly random: number;
}

/** Waiting cures none of these. */
const finalCodes: ReadonlySet<ErrorCode> = new Set(['PAM_GATEWAY_REMOVED', 'PAM_INSTANCE_REFUSED', 'PAM_POOL_FULL']);
/** These end a start, but not an instance that was admitted and may have streams running. */
const finalAtStart: ReadonlySet<ErrorCode> = new Set([
  'PAM_ROUTER_IMPOSTOR',
  'PAM_CLOCK_SKEW',
  'PAM_VERSION_UNSUPPORTED',
  'PAM_TRUST_FORKED',
  'PAM_TRUST_SHORTENED',
  'PAM_TRUST_ANCHOR',
  'PAM_TRUST_ENTRY_INVALID',
  'PAM_WRAP_INVALID',
]);

export function newLinkState(): LinkState {
  return {
    phase: { kind: 'idle' },
    link: 0,
    router: 0,
    failures: 0,
    everSettled: false,
    duplicates: 0,
    held: null,
    said: [],
  };
}

/** When the runner has to send the next `tick`; null while nothing is due. */
export function linkWakeAtMs(state: LinkState): number | null {
  switch (state.phase.kind) {
    case 'idle':
    case 'stopped':
      return null;
    case 'admitted':
      return Math.min(state.phase.beatAtMs, state.phase.heardAtMs + 2 * state.phase.suspectMs);
    default:
      return state.phase.untilMs;
  }
}

interface RedialOf {
  readonly isHeld: boolean;
  readonly carries: boolean;
  /** The router is there, and others are before us. */
  readonly isCrowd: boolean;
}

function queuedWithinMs({ routers }: LinkSettings): number {
  return routers > 1 ? linkTimes.queuedWithinMs : linkTimes.queuedAtOnlyRouterMs;
}

function redialMaxMs({ isHeld, carries, isCrowd }: RedialOf): number {
  if (carries) return isCrowd ? linkTimes.carryingCrowdRedialMaxMs : linkTimes.carryingRedialMs;
  if (isHeld) return isCrowd ? linkTimes.heldCrowdRedialMaxMs : linkTimes.heldRedialMaxMs;
  return isCrowd ? linkTimes.crowdRedialMaxMs : linkTimes.redialMaxMs;
}

function retryAfterMs(error: PamError): number {
  const asked = Number(error.detail['retryAfterMs'] ?? 0);
  return Number.isFinite(asked) ? Math.min(Math.max(asked, 0), 600_000) : 0;
}

function redialDelayMs(failures: number, of: RedialOf, error: PamError, random: number): number {
  const baseMs = of.carries && of.isCrowd ? linkTimes.carryingCrowdBaseMs : linkTimes.redialBaseMs;
  const ceiling =
    failures <= 1 ? linkTimes.firstRedialMs : Math.min(redialMaxMs(of), baseMs * 2 ** Math.min(failures - 1, 10));
  return retryAfterMs(error) + random * ceiling;
}

function say(state: LinkState, key: string, what: LinkSaying): LinkStep {
  if (state.said.includes(key)) return { state, effects: [] };
  return { state: { ...state, said: [...state.said, key] }, effects: [{ kind: 'say', what }] };
}

function dial(state: LinkState, now: LinkNow): LinkStep {
  const link = state.link + 1;
  return {
    state: { ...state, link, phase: { kind: 'dialling', untilMs: now.nowMs + linkTimes.dialWithinMs } },
    effects: [{ kind: 'dial', link, router: state.router }],
  };
}

/** The router is not there: no news after a loss, and the same news whichever way it shows. */
const isPlain = (error: PamError): boolean =>
  error.code === 'PAM_ROUTER_UNREACHABLE' || error.code === 'PAM_TIMEOUT' || error.code === 'PAM_LEG_FAILED';

/** Connected, and its turn for the handshake never came. After that the router has time for us: what fails then is no crowd. */
const wasQueued = ({ kind }: LinkPhase): boolean => kind === 'queued';

function fail(
  state: LinkState,
  error: PamError,
  why: 'no-pong' | 'late' | 'failed',
  settings: LinkSettings,
  now: LinkNow,
): LinkStep {
  const cut: LinkEffect = { kind: 'cut', link: state.link, why };
  const isRefused = error.code === 'PAM_INSTANCE_DUPLICATE' && state.phase.kind === 'proving';
  const duplicates = state.duplicates + (isRefused ? 1 : 0);
  const isTwin = isRefused && duplicates >= 2;
  const isFinal = isTwin || finalCodes.has(error.code) || (!state.everSettled && finalAtStart.has(error.code));
  if (isFinal) return { state: { ...state, phase: { kind: 'stopped' } }, effects: [cut, { kind: 'give-up', error }] };
  const settled =
    state.phase.kind === 'admitted' && now.nowMs - state.phase.sinceMs >= linkTimes.settledAfterMs ? 0 : state.failures;
  const failures = settled + 1;
  const isCrowd = (wasQueued(state.phase) && isPlain(error)) || retryAfterMs(error) > 0;
  const of = { isHeld: state.held !== null, carries: settings.carries, isCrowd };
  const delayMs = redialDelayMs(failures, of, error, now.random);
  const spoken =
    state.phase.kind === 'admitted'
      ? say(state, 'lost', { kind: 'lost', error })
      : isPlain(error) && state.said.includes('lost')
        ? { state, effects: [] }
        : say(state, isPlain(error) ? 'unreachable' : error.code, { kind: 'unreachable', error });
  return {
    state: {
      ...spoken.state,
      failures,
      duplicates,
      router: (state.router + 1) % settings.routers,
      phase: { kind: 'waiting', untilMs: now.nowMs + delayMs + (isRefused ? linkTimes.ghostMs : 0) },
    },
    effects: [cut, ...spoken.effects],
  };
}

function admit(state: LinkState, membership: MembershipView, promoted: boolean): LinkStep {
  const slot = membership.kind === 'slot' ? { seq: membership.seq, epoch: membership.epoch } : null;
  const key = membership.kind === 'slot' ? `slot ${membership.seq} ${membership.epoch}` : membership.reason;
  const what: LinkSaying = membership.kind === 'slot' ? { ...membership, promoted } : membership;
  const isNews = state.said.length !== 1 || state.said[0] !== key;
  return {
    state: { ...state, held: slot, duplicates: 0, said: [key] },
    effects: isNews ? [{ kind: 'say', what }] : [],
  };
}

/** Moves what is due later by a pause of this process (L3). */
function afterPause(phase: LinkPhase, lateMs: number): LinkPhase {
  if (lateMs <= linkTimes.pauseMs) return phase;
  switch (phase.kind) {
    case 'idle':
    case 'stopped':
    case 'waiting':
      return phase;
    case 'admitted':
      return { ...phase, heardAtMs: phase.heardAtMs + lateMs };
    default:
      return { ...phase, untilMs: phase.untilMs + lateMs };
  }
}

const lateWords = {
  dialling: ['PAM_ROUTER_UNREACHABLE', 'no connection to the router within 10 s'],
  queued: ['PAM_ROUTER_UNREACHABLE', 'the router did not get to this instance in time; it has too many'],
  greeting: ['PAM_TIMEOUT', 'the router did not greet within 10 s'],
  proving: ['PAM_TIMEOUT', 'the router did not answer the hello within 20 s'],
} as const;

function tick(state: LinkState, settings: LinkSettings, now: LinkNow): LinkStep {
  const unchanged: LinkStep = { state, effects: [] };
  const wakeAtMs = linkWakeAtMs(state);
  if (wakeAtMs === null || now.nowMs < wakeAtMs) return unchanged;
  const phase = afterPause(state.phase, now.nowMs - wakeAtMs);
  const moved: LinkState = { ...state, phase };
  switch (phase.kind) {
    case 'idle':
    case 'stopped':
      return unchanged;
    case 'waiting':
      return dial(state, now);
    case 'admitted': {
      if (now.nowMs - phase.heardAtMs >= 2 * phase.suspectMs) {
        const error = new PamError(
          'PAM_ROUTER_UNREACHABLE',
          `no pong from the router for ${Math.round(2 * phase.suspectMs)} ms`,
        );
        return fail(moved, error, 'no-pong', settings, now);
      }
      if (now.nowMs < phase.beatAtMs) return { state: moved, effects: [] };
      const seq = phase.sentSeq + 1;
      return {
        state: { ...moved, phase: { ...phase, sentSeq: seq, beatAtMs: now.nowMs + phase.beatMs } },
        effects: [{ kind: 'ping', link: state.link, seq, heard: phase.heardSeq }],
      };
    }
    default: {
      if (now.nowMs < phase.untilMs) return { state: moved, effects: [] };
      const [code, message] = lateWords[phase.kind];
      return fail(moved, new PamError(code, message), 'late', settings, now);
    }
  }
}

/** One event of the link's life. Never throws; an event that does not fit the phase changes nothing. */
export function stepLink(state: LinkState, event: LinkEvent, settings: LinkSettings, now: LinkNow): LinkStep {
  const unchanged: LinkStep = { state, effects: [] };
  if (state.phase.kind === 'stopped') return unchanged;
  if ('link' in event && event.link !== state.link) return unchanged;
  const { phase } = state;
  switch (event.kind) {
    case 'start':
      return phase.kind === 'idle' ? dial(state, now) : unchanged;
    case 'stop':
      return {
        state: { ...state, phase: { kind: 'stopped' } },
        effects: phase.kind === 'idle' ? [] : [{ kind: 'cut', link: state.link, why: 'stopped' }],
      };
    case 'tick':
      return tick(state, settings, now);
    case 'reached':
      return phase.kind === 'dialling'
        ? { state: { ...state, phase: { kind: 'queued', untilMs: now.nowMs + queuedWithinMs(settings) } }, effects: [] }
        : unchanged;
    case 'connected':
      return phase.kind === 'dialling' || phase.kind === 'queued'
        ? {
            state: { ...state, phase: { kind: 'greeting', untilMs: now.nowMs + linkTimes.greetWithinMs } },
            effects: [],
          }
        : unchanged;
    case 'challenged':
      if (phase.kind !== 'greeting') return unchanged;
      return {
        state: { ...state, phase: { kind: 'proving', untilMs: now.nowMs + linkTimes.proveWithinMs } },
        effects: [{ kind: 'prove', link: state.link }],
      };
    case 'admitted': {
      if (phase.kind !== 'proving') return unchanged;
      const { membership, beatMs, suspectMs } = event;
      const beating = { sentSeq: 0, heardSeq: 0, heardAtMs: now.nowMs, beatAtMs: now.nowMs };
      const admitted: LinkPhase = { kind: 'admitted', membership, beatMs, suspectMs, sinceMs: now.nowMs, ...beating };
      return admit({ ...state, phase: admitted }, membership, false);
    }
    case 'settled':
      return phase.kind === 'admitted' ? { state: { ...state, everSettled: true }, effects: [] } : unchanged;
    case 'membership':
      if (phase.kind !== 'admitted') return unchanged;
      return admit(
        { ...state, phase: { ...phase, membership: event.membership } },
        event.membership,
        phase.membership.kind === 'standby',
      );
    case 'pong': {
      if (phase.kind !== 'admitted' || event.seq <= phase.heardSeq || event.seq > phase.sentSeq) return unchanged;
      const beatAtMs = Math.min(phase.beatAtMs, now.nowMs + event.beatMs);
      // S grows and falls with the beat, as at the router: who was admitted to few links may be one of thousands now.
      const suspectMs = (phase.suspectMs * event.beatMs) / phase.beatMs;
      const heard = { heardSeq: event.seq, heardAtMs: now.nowMs, beatMs: event.beatMs, suspectMs, beatAtMs };
      return { state: { ...state, phase: { ...phase, ...heard } }, effects: [] };
    }
    case 'lost':
      return phase.kind === 'idle' || phase.kind === 'waiting'
        ? unchanged
        : fail(state, event.error, 'failed', settings, now);
    default:
      return event satisfies never;
  }
}
