import { type LinkHandlers, type LinkParams, type LinkResult, PamError } from '@sallyport/protocol';
import type { HostPort } from '@sallyport/seal';
import type { Reach } from '@sallyport/stream';
import type { Log, Runtime } from '../runtime.ts';
import { decodePong, encodePing } from './beat.ts';
import { type BeatTimes, createBeatTimes } from './beat-times.ts';
import { type ControlLink, openControlLink } from './control-link.ts';
import {
  type LinkEffect,
  type LinkEvent,
  type LinkSaying,
  type LinkState,
  linkWakeAtMs,
  newLinkState,
  stepLink,
} from './link-life.ts';

export type Challenge = LinkParams<'link.challenge'>;
export type Admission = LinkResult<'link.hello'>;

/** What the agent answers once a link is open. */
export type LinkedHandlers = Omit<Required<LinkHandlers<'instance'>>, 'link.challenge' | 'link.membership'>;

export interface LinkRunnerDeps {
  readonly routers: readonly HostPort[];
  readonly runtime: Runtime;
  readonly log: Log;
  readonly reach: Reach;
  /** Pins to accept now: the log's, or the configuration's while that is newer. */
  readonly pins: () => readonly string[];
  /** What the router may ask over an admitted link; `link.challenge` and `link.membership` are the runner's own. */
  readonly handlers: (link: ControlLink) => LinkedHandlers;
  /** Echo leg and hello. Rejects with PamError. */
  readonly prove: (
    link: ControlLink,
    challenge: Challenge,
    state: LinkState,
    signal: AbortSignal,
  ) => Promise<Admission>;
  /** After admission: log and keys. Rejects with PamError, which ends the link. */
  readonly settle: (link: ControlLink, admission: Admission) => Promise<void>;
  /** The link is up, admitted and settled. */
  /** Streams run here: their clients may be looking for this instance. */
  readonly carries: () => boolean;
  readonly onReady: (link: ControlLink) => void;
  readonly onLost: () => void;
  readonly onSaying: (what: LinkSaying) => void;
  readonly onGiveUp: (error: PamError) => void;
}

export interface LinkRunner {
  start(): void;
  state(): LinkState;
  /** The link that is up and settled. */
  current(): ControlLink | null;
  /** Round trip of the last beat that came back on this link, ms; null before the first. */
  rttMs(): number | null;
  stop(): void;
}

interface OpenLink {
  readonly number: number;
  readonly beats: BeatTimes;
  readonly abort: AbortController;
  link: ControlLink | null;
  challenge: Challenge | null;
  isReady: boolean;
}

/** Does what `stepLink` decides, for one process. At most one link exists at a time. */
export function createLinkRunner(deps: LinkRunnerDeps): LinkRunner {
  const { runtime } = deps;
  let state = newLinkState();
  let open: OpenLink | null = null;
  let cancelWake = (): void => undefined;

  function send(event: LinkEvent): void {
    const step = stepLink(
      state,
      event,
      { routers: deps.routers.length, carries: deps.carries() },
      { nowMs: runtime.monotonicMs(), random: runtime.random() },
    );
    state = step.state;
    for (const effect of step.effects) apply(effect);
    cancelWake();
    const wakeAtMs = linkWakeAtMs(state);
    if (wakeAtMs !== null)
      cancelWake = runtime.schedule(Math.max(0, wakeAtMs - runtime.monotonicMs()), () => send({ kind: 'tick' }));
  }

  function apply(effect: LinkEffect): void {
    switch (effect.kind) {
      case 'dial':
        void dial(effect.link, effect.router);
        return;
      case 'prove':
        void prove(effect.link);
        return;
      case 'ping':
        open?.beats.sent(effect.seq, runtime.monotonicMs());
        open?.link?.ping(encodePing(effect.seq, effect.heard));
        return;
      case 'cut':
        cut(effect.why);
        return;
      case 'say':
        deps.onSaying(effect.what);
        return;
      case 'give-up':
        deps.onGiveUp(effect.error);
        return;
      default:
        effect satisfies never;
    }
  }

  function cut(why: string): void {
    const ended = open;
    if (ended === null) return;
    open = null;
    const error = new PamError('PAM_LEG_FAILED', `the control link ended: ${why}`);
    ended.abort.abort(error);
    ended.link?.cut(error);
    if (ended.isReady) deps.onLost();
  }

  async function dial(number: number, router: number): Promise<void> {
    const address = deps.routers[router];
    if (address === undefined) return;
    const opening: OpenLink = {
      number,
      beats: createBeatTimes(),
      abort: new AbortController(),
      link: null,
      challenge: null,
      isReady: false,
    };
    open = opening;
    const { promise: linkExists, resolve: haveLink } = Promise.withResolvers<ControlLink>();
    const lost = (error: PamError): void => send({ kind: 'lost', link: number, error });
    try {
      const link = await openControlLink(
        address,
        {
          runtime,
          log: deps.log,
          pins: deps.pins(),
          reach: deps.reach,
          handlers: handlersOf(opening, linkExists),
          onReached: () => send({ kind: 'reached', link: number }),
          onPong: (payload) => {
            const pong = decodePong(payload);
            if (pong === null) return;
            opening.beats.heard(pong.seq, runtime.monotonicMs());
            send({ kind: 'pong', link: number, ...pong });
          },
          onClosed: lost,
        },
        opening.abort.signal,
      );
      opening.link = link;
      haveLink(link);
      send({ kind: 'connected', link: number });
      if (opening.challenge !== null) send({ kind: 'challenged', link: number });
    } catch (reason) {
      lost(PamError.from(reason, 'PAM_ROUTER_UNREACHABLE', 'the control link could not be opened'));
    }
  }

  /** Handlers of one link. Calls that come before it is known as open wait for that. */
  function handlersOf(opening: OpenLink, linkExists: Promise<ControlLink>): LinkHandlers<'instance'> {
    const rest = linkExists.then(deps.handlers);
    return {
      'link.challenge': async (challenge) => {
        if (opening.challenge === null) {
          opening.challenge = challenge;
          if (opening.link !== null) send({ kind: 'challenged', link: opening.number });
        }
        return {};
      },
      'link.membership': async ({ membership }) => {
        send({ kind: 'membership', link: opening.number, membership });
        return {};
      },
      'link.intent': async (params, signal) => (await rest)['link.intent'](params, signal),
      'link.duplicate': async (params, signal) => (await rest)['link.duplicate'](params, signal),
      'vault.changed': async (params, signal) => (await rest)['vault.changed'](params, signal),
      'stream.dispatch': async (params, signal) => (await rest)['stream.dispatch'](params, signal),
      'stream.resume': async (params, signal) => (await rest)['stream.resume'](params, signal),
      'stream.forget': async (params, signal) => (await rest)['stream.forget'](params, signal),
      'stream.end': async (params, signal) => (await rest)['stream.end'](params, signal),
      'leg.park': async (params, signal) => (await rest)['leg.park'](params, signal),
      'job.offer': async (params, signal) => (await rest)['job.offer'](params, signal),
      'job.cancel': async (params, signal) => (await rest)['job.cancel'](params, signal),
      'kind.list': async (params, signal) => (await rest)['kind.list'](params, signal),
    };
  }

  async function prove(number: number): Promise<void> {
    const proving = open;
    if (proving?.number !== number || proving.link === null || proving.challenge === null) return;
    const { link } = proving;
    try {
      const admission = await deps.prove(link, proving.challenge, state, proving.abort.signal);
      const { membership, beatMs, suspectMs } = admission;
      send({ kind: 'admitted', link: number, membership, beatMs, suspectMs });
      await deps.settle(link, admission);
      if (open !== proving) return;
      proving.isReady = true;
      send({ kind: 'settled', link: number });
      deps.onReady(link);
    } catch (reason) {
      const error = PamError.from(reason, 'PAM_INTERNAL', 'the instance could not join');
      send({ kind: 'lost', link: number, error });
    }
  }

  return {
    start: () => send({ kind: 'start' }),
    state: () => state,
    current: () => (open?.isReady === true ? open.link : null),
    rttMs: () => open?.beats.rttMs() ?? null,
    stop: () => send({ kind: 'stop' }),
  };
}
