import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { errorCatalog, isRouterAway, PamError } from '@sallyport/protocol';
import type { AttachmentChange } from '@sallyport/stream';
import type { Cli } from '../cli.ts';
import { plain } from '../terminal/terminal.ts';
import { createDrainNotes, type DrainNews } from './drain-notes.ts';
import { failed, type FailureLine, failureLogLimits, newFailureLog, remind } from './failure-log.ts';
import { createLossNotes } from './loss-notes.ts';
import type { TunnelState } from './registry.ts';
import {
  type Kept,
  newTunnelLife,
  stepTunnelLife,
  type TunnelLifeEffect,
  type TunnelLifeEvent,
  tunnelWakeAtMs,
} from './tunnel-life.ts';
import type { SessionStream, TunnelSession } from './tunnel-session.ts';

/** How long streams are given to reset their ends when the tunnel stops. */
const stopWithinMs = 2_000;

/** A tunnel that carries connections. `ended` resolves with why it ended by itself; never rejects. */
export interface RunningTunnel {
  /** Carries one local connection; failures are printed, once per cause, and reset the socket. */
  accept(socket: Socket): void;
  /** Carries one Duplex and answers how it ended. `opening` gives up while the stream is not open yet. */
  carry(local: Duplex, opening: AbortSignal): Promise<PamError | null>;
  readonly ended: Promise<PamError>;
  stop(): Promise<void>;
}

/** A session together with the sign-in it stands on. */
export interface SignedTunnel {
  readonly session: TunnelSession;
  /** Wall time, Unix milliseconds. */
  readonly signInEndsAtMs: number;
  /** Lets go of the router and writes down what was seen of it. */
  close(): Promise<void>;
}

export interface TunnelParts {
  readonly first: SignedTunnel;
  /** Whether the profile has a sign-in that is not the one in use and not over. Reads files only. */
  looks(): Promise<boolean>;
  /** Opens everything anew with the profile's sign-in: log, record, permissions, session. */
  renew(): Promise<SignedTunnel>;
  /** State or number of streams changed. */
  changed(state: TunnelState): void;
  /** 0 to 1; spreads what is tried again. */
  readonly jitter: () => number;
}

export interface TunnelOptions {
  /** How long connections are kept while their way to the instance is lost. */
  readonly detachedMs: number;
  readonly onDrain: (news: DrainNews) => void;
}

/** Does what `stepTunnelLife` decides, for one tunnel. */
export function runTunnel(
  cli: Pick<Cli, 'clock' | 'terminal'>,
  parts: TunnelParts,
  options: TunnelOptions,
): RunningTunnel {
  const { clock } = cli;
  const drains = createDrainNotes(clock.monotonicMs, options.onDrain);
  const losses = createLossNotes(cli, options.detachedMs);
  const all = new AbortController();
  const running = new Set<Promise<void>>();
  const ended = Promise.withResolvers<PamError>();
  const waiting = new Map<number, Socket>();
  const live = new Map<SessionStream, () => void>();
  const now = () => ({ monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs(), random: parts.jitter() });
  let current = parts.first;
  let life = newTunnelLife(current.signInEndsAtMs, now());
  let failures = newFailureLog;
  let nextId = 0;
  let cancelWake: () => void = () => undefined;
  let cancelRemind: () => void = () => undefined;

  const send = (event: TunnelLifeEvent): void => {
    if (all.signal.aborted) return;
    const before = life.phase.kind;
    const step = stepTunnelLife(life, event, now());
    life = step.state;
    for (const effect of step.effects) act(effect);
    if (life.phase.kind !== before) tellState();
    cancelWake();
    const wakeAtMs = tunnelWakeAtMs(life);
    if (wakeAtMs === null || life.over || all.signal.aborted) return;
    cancelWake = clock.after(Math.max(0, wakeAtMs - clock.monotonicMs()), () => send({ kind: 'tick' }), { idle: true });
  };
  const act = (effect: TunnelLifeEffect): void => {
    switch (effect.kind) {
      case 'carry':
        return carryAccepted(effect.id);
      case 'refuse':
        return refuse(effect.id);
      case 'touch':
        void touch().then((result) => send({ kind: 'touched', result }));
        return;
      case 'look':
        void look().then((found) => send({ kind: 'looked', found }));
        return;
      case 'renew':
        void renew().then((result) => send({ kind: 'renewed', result, signInEndsAtMs: current.signInEndsAtMs }));
        return;
      case 'say':
        cli.terminal.err(`${isoText(clock.nowMs())} ${sayings[effect.what]}\n`);
        return;
      case 'end':
        ended.resolve(effect.error);
        return;
      default:
        effect satisfies never;
    }
  };
  const tellState = () => {
    const { phase } = life;
    const kind = phase.kind === 'checking' ? 'ready' : phase.kind;
    parts.changed({ kind, sinceMs: 'sinceMs' in phase ? phase.sinceMs : null, streams: running.size });
  };

  const touch = async (): Promise<Kept> => {
    try {
      const kept = await current.session.touch();
      if (kept.kind === 'ok') await vouch();
      doubt();
      return kept;
    } catch (reason) {
      return troubleOf(reason);
    }
  };
  /** Streams of an earlier sign-in run on as long as somebody of the same person vouches for them. */
  const vouch = async (): Promise<void> =>
    current.session.vouchFor(new Set([...live.keys()].map(({ session }) => session)));
  const look = async (): Promise<boolean> => {
    try {
      return await parts.looks();
    } catch (reason) {
      // A file that is being replaced or damaged now may be whole in two seconds.
      say('look', reason);
      return false;
    }
  };
  const renew = async (): Promise<Kept> => {
    try {
      const next = await parts.renew();
      const old = current;
      current = next;
      // Its streams run on over sockets of their own; only calls to the router end.
      await vouch();
      doubt();
      await old.close().catch((reason: unknown) => say('close', reason));
      return { kind: 'ok' };
    } catch (reason) {
      return troubleOf(reason);
    }
  };

  /** "Cannot be reached" would be all that is said of a full disk, else. */
  const troubleOf = (reason: unknown): Kept => {
    const kept = keptOf(reason);
    if (kept.kind === 'away' && !(reason instanceof PamError && isRouterAway(reason.code))) say('tunnel', reason);
    return kept;
  };

  const say = (who: string, reason: unknown): void => {
    const error = PamError.from(reason, 'PAM_INTERNAL', reason instanceof Error ? reason.message : 'it failed');
    const text = `${who}: ${plain(error.message)}; ${plain(error.remedy)} (${error.code})`;
    const step = failed(failures, { key: `${error.code} ${error.message}`, text }, clock.monotonicMs());
    failures = step.state;
    printLines(cli, step.lines);
    scheduleRemind();
  };
  const scheduleRemind = () => {
    cancelRemind();
    if (failures.causes.length === 0) return;
    cancelRemind = clock.after(
      failureLogLimits.everyMs,
      () => {
        const step = remind(failures, clock.monotonicMs());
        failures = step.state;
        printLines(cli, step.lines);
        scheduleRemind();
      },
      { idle: true },
    );
  };

  /**
   * Ends streams whose instances were believed under a pool key that the log has replaced meanwhile. An honest router
   * has cut them already; one that helps a thief has not.
   */
  const doubt = (): void => {
    for (const [stream, stop] of live) {
      if (stream.poolKeyId === current.session.poolKeyOf(stream.gateway)) continue;
      live.delete(stream);
      stop();
    }
  };

  const carry = async (local: Duplex, opening: AbortSignal): Promise<PamError | null> => {
    const own = new AbortController();
    const stop = () => own.abort('stopped');
    const leave = () => own.abort('client-reset');
    all.signal.addEventListener('abort', stop, { once: true });
    opening.addEventListener('abort', leave, { once: true });
    if (all.signal.aborted) stop();
    if (opening.aborted) leave();
    try {
      const stream = await current.session.open(own.signal);
      opening.removeEventListener('abort', leave);
      live.set(stream, stop);
      doubt();
      const error = await splice(stream, local, own.signal);
      return live.delete(stream) ? error : keysReplaced();
    } catch (reason) {
      return PamError.from(reason, 'PAM_INTERNAL', reason instanceof Error ? reason.message : 'the stream failed');
    } finally {
      all.signal.removeEventListener('abort', stop);
      opening.removeEventListener('abort', leave);
    }
  };

  const splice = async (of: SessionStream, local: Duplex, signal: AbortSignal): Promise<PamError | null> => {
    const { stream, opened } = of;
    const { instance } = opened;
    const { detachedMs } = options;
    const reattach = of.reattachBy((...asked) => current.session.askForLeg(...asked));
    const onAttachment = (change: AttachmentChange) => losses.note(stream, change.kind);
    drains.opened(instance);
    const { error } = await opened.splice(local, signal, { reattach, detachedMs, onAttachment }, (notice) =>
      drains.noticed(instance, notice),
    );
    drains.ended(instance);
    losses.note(stream, 'ended');
    return error;
  };

  const carryAccepted = (id: number): void => {
    const socket = waiting.get(id);
    waiting.delete(id);
    if (socket === undefined || socket.destroyed) return;
    const work = carryOne(socket).finally(() => {
      running.delete(work);
      tellState();
    });
    running.add(work);
    tellState();
  };
  const carryOne = async (socket: Socket): Promise<void> => {
    const from = nameOf(socket);
    const gone = new AbortController();
    socket.on('close', () => gone.abort());
    const error = await carry(socket, gone.signal);
    if (error === null) return;
    if (!socket.destroyed) socket.resetAndDestroy();
    if (error.code === 'PAM_INTERRUPTED') return;
    say(`connection from ${from}`, error);
    if (error.code === 'PAM_NOT_SIGNED_IN') send({ kind: 'signed-out' });
    if (error.code === 'PAM_SESSION_KILLED') send({ kind: 'killed' });
  };
  const refuse = (id: number): void => {
    const socket = waiting.get(id);
    waiting.delete(id);
    if (socket === undefined) return;
    const from = nameOf(socket);
    if (!socket.destroyed) socket.resetAndDestroy();
    if (life.phase.kind === 'signed-out')
      say(`connection from ${from}`, new PamError('PAM_NOT_SIGNED_IN', 'refused: the sign-in is over'));
  };

  send({ kind: 'tick' });
  return {
    accept: (socket) => {
      const id = nextId++;
      socket.on('error', () => socket.destroy());
      waiting.set(id, socket);
      send({ kind: 'connection', id });
    },
    carry,
    ended: ended.promise,
    stop: async () => {
      all.abort();
      cancelWake();
      cancelRemind();
      for (const socket of waiting.values()) socket.resetAndDestroy();
      waiting.clear();
      await within(cli, Promise.allSettled([...running]));
      await within(cli, Promise.allSettled([current.session.end()]));
      await current.close();
    },
  };
}

const sayings = {
  'signed-out':
    'signed out: the sign-in of this tunnel is over. New connections are refused until pam login; the tunnel then goes on by itself.',
  'signed-in': 'signed in again: the tunnel goes on.',
  'router-away': 'the router cannot be reached: trying until it answers.',
  'router-impostor':
    'another server answers in the router’s place: it does not hold the router’s key, and nothing is sent to it (PAM_ROUTER_IMPOSTOR). A captive portal does this; trying until the router answers.',
  'router-back': 'the router answers again.',
} as const;

/** What an error of keeping the tunnel means for it. Anything that waiting or signing in does not cure ends it. */
function keptOf(reason: unknown): Kept {
  const error = PamError.from(reason, 'PAM_INTERNAL', reason instanceof Error ? reason.message : 'it failed');
  switch (error.code) {
    case 'PAM_NOT_SIGNED_IN':
    case 'PAM_PROOF_INVALID':
    case 'PAM_DEVICE_UNKNOWN':
      return { kind: 'signed-out' };
    case 'PAM_ROUTER_IMPOSTOR':
      return { kind: 'impostor' };
    case 'PAM_INTERNAL':
    // A file of the profile that cannot be read or written: the disk may be full for a while.
    case 'PAM_CONFIG_INVALID':
    case 'PAM_CLOCK_SKEW':
    case 'PAM_TOO_LARGE':
    case 'PAM_BAD_REQUEST':
      return { kind: 'away' };
    default:
      return errorCatalog[error.code].retry === 'backoff' ? { kind: 'away' } : { kind: 'ended', error };
  }
}

function keysReplaced(): PamError {
  return new PamError('PAM_GATEWAY_REMOVED', 'reset, because the gateway was removed or has new keys', {
    remedy: 'Connect again: a new connection goes to an instance with the new keys.',
  });
}

function nameOf(socket: Socket): string {
  return `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? '?'}`;
}

function isoText(ms: number): string {
  return new Date(ms).toISOString();
}

function printLines(cli: Pick<Cli, 'terminal'>, lines: readonly FailureLine[]): void {
  for (const line of lines) {
    cli.terminal.err(
      line.kind === 'first'
        ? `${line.text}\n`
        : `${line.count} more within ${Math.round(line.withinMs / 1_000)} s, the last like: ${line.text}\n`,
    );
  }
}

async function within(cli: Pick<Cli, 'clock'>, work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const cancel = cli.clock.after(stopWithinMs, () => late.resolve());
  await Promise.race([work, late.promise]);
  cancel();
}
