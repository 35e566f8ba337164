import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { type LegRole, legLimits, PamError } from '@sallyport/protocol';
import { forkRelay } from './fork-relay.ts';
import { bindListeningHandle, type ListeningHandle } from './listening-handle.ts';
import type {
  ExpectedTicket,
  FromRelay,
  MatchBytes,
  MatchEnd,
  RelayLimits,
  RelayTotals,
  ToRelay,
} from './relay-messages.ts';
import { relayClock } from './system-relay-clock.ts';

type RelayLog = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields: Readonly<Record<string, string | number>>,
) => void;

/** What main hears. Bytes are of the carrier (ciphertext), up is client → instance. */
export interface RelayEvents {
  /** A TLS connection waits in the relay, where it costs no work, until it is taken or refused. */
  onTls(waiting: WaitingConnection): void;
  onMatched?(match: string, tickets: { readonly client: string; readonly instance: string }): void;
  /** Totals so far of a match that moved, about every 5 s. */
  onBytes?(match: string, bytes: MatchBytes): void;
  /** Exactly once per `onMatched`. */
  onEnded?(match: string, end: MatchBytes & { readonly why: MatchEnd }): void;
  onAlone?(match: string, role: LegRole): void;
  onEchoed?(ticket: string): void;
  onParked?(ticket: string, leg: number): void;
  onParkedLost?(leg: number): void;
  onBound?(leg: number, ticket: string): void;
  /** The relay process died and is back on the same socket. Its matches were reported ended, its tickets are gone. */
  onRestarted?(): void;
}

export interface WaitingConnection {
  /** The client's, also behind a balancer; IPv4 in its usual form. */
  readonly address: string;
  /** A balancer said so: the socket's own address is another. */
  readonly isTold: boolean;
  /** It carries a leg: nothing is read of it but `early` until it is given away with it. */
  readonly isLeg: boolean;
  /**
   * Once. `have` comes later, or `gone`; nothing of it was lost: `early` goes in front of what the socket reads, which
   * `unshift` does.
   */
  take(have: (socket: Socket, early: Uint8Array) => void): void;
  /** Closes it without a word: TLS has none before the handshake. */
  refuse(): void;
  /** Set it to hear that it went before the socket was here. Not called after `have`. */
  gone: () => void;
}

export interface RelayOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly log: RelayLog;
  readonly limits?: Partial<RelayLimits>;
  /** Addresses and CIDRs of balancers: their connections must begin with a PROXY header, all others must not. */
  readonly balancers?: readonly string[];
  /** The forked module; by default the one beside this file, or beside the bundle. */
  readonly entry?: URL;
  readonly execArgv?: readonly string[];
}

/**
 * A relay that listens, or is about to, before there is anybody to answer: TLS connections wait, legs are refused, for no
 * ticket is known yet.
 */
export interface EarlyRelay {
  /**
   * Hands over what waits and what comes.
   *
   * @throws PAM_PORT_IN_USE, PAM_CONFIG_INVALID (address), PAM_INTERNAL when the process cannot be started.
   */
  serve(events: RelayEvents): Promise<Relay>;
  /** Idempotent. */
  close(): Promise<void>;
}

export interface Relay {
  readonly port: number;
  readonly pid: number;
  /** Resolves when the relay knows the tickets: answer client and instance only then. */
  expect(tickets: readonly ExpectedTicket[]): Promise<void>;
  /** Writes BIND into a parked leg; the ticket was expected with role `instance`. `onBound` or `onParkedLost` follows. */
  bind(request: { readonly leg: number; readonly ticket: string }): void;
  /** Voids the tickets of a match that have not been used. */
  forget(match: string): void;
  /** Resets both legs. */
  cut(match: string): void;
  /** Asks the relay process; null when it did not answer within `withinMs`, or is not there. */
  totals(withinMs: number): Promise<RelayTotals | null>;
  close(): Promise<void>;
}

const usualLimits: RelayLimits = {
  preambleWithinMs: legLimits.preambleWithinMs,
  undecidedSockets: legLimits.undecidedSockets,
  undecidedPerAddress: legLimits.undecidedPerAddress,
  aloneAfterMs: legLimits.aloneAfterMs,
  noProgressMs: legLimits.noProgressMs,
  parkLifeMs: legLimits.parkLifeMs,
  ticketLifeMs: legLimits.ticketLifeMs,
  sweepMs: 5_000,
};
/** A relay that died young is not started again at once: something is wrong that a loop would not cure. */
const youngMs = 2_000;
const youngRestartMs = 500;

/**
 * Binds the router's port and starts the relay process on it.
 *
 * @throws PAM_PORT_IN_USE, PAM_CONFIG_INVALID (address), PAM_INTERNAL when the process cannot be started.
 */
export function startRelay({ events, ...options }: RelayOptions & { readonly events: RelayEvents }): Promise<Relay> {
  return beginRelay(options, null).serve(events);
}

/**
 * The same in two steps. A port that cannot be bound is told by `serve`: what else is wrong with a start, as another
 * router on the same folder, says more.
 *
 * @param forked - a relay process that was forked already; null: one is forked.
 */
export function beginRelay(options: RelayOptions, forked: ChildProcess | null): EarlyRelay {
  let listening: ListeningHandle;
  try {
    listening = bindListeningHandle(options.host, options.port);
  } catch (reason) {
    forked?.kill('SIGKILL');
    return {
      serve: () => Promise.reject(PamError.from(reason, 'PAM_INTERNAL', 'no port')),
      close: async () => undefined,
    };
  }
  const relay = new RelayParent(options, listening);
  const started = relay.start(forked);
  started.catch(() => undefined);
  return {
    serve: async (events) => {
      try {
        await started;
      } catch (reason) {
        await relay.close();
        throw PamError.from(reason, 'PAM_INTERNAL', 'the relay process did not start');
      }
      relay.serve(events);
      return relay;
    },
    close: () => relay.close(),
  };
}

/** `have` is null until it was asked for. */
interface OwnWaiting extends WaitingConnection {
  have: Parameters<WaitingConnection['take']>[0] | null;
}

class RelayParent implements Relay {
  readonly port: number;
  readonly #options: RelayOptions;
  readonly #listening: ListeningHandle;
  readonly #matches = new Map<string, MatchBytes>();
  readonly #pending = new Map<number, { readonly tickets: readonly ExpectedTicket[]; readonly done: () => void }>();
  readonly #asked = new Map<number, (totals: RelayTotals | null) => void>();
  #child: ChildProcess | null = null;
  #lastId = 0;
  #startedAtMs = 0;
  #hasListened = false;
  #closing = false;
  #events: RelayEvents | null = null;
  /** By the number that the relay process gave it. */
  readonly #waiting = new Map<number, OwnWaiting>();

  constructor(options: RelayOptions, listening: ListeningHandle) {
    this.#options = options;
    this.#listening = listening;
    this.port = listening.port;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  serve(events: RelayEvents): void {
    this.#events = events;
    for (const early of [...this.#waiting.values()]) events.onTls(early);
  }

  start(forked: ChildProcess | null): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#startedAtMs = relayClock.nowMs();
    const child = forked ?? forkRelay(this.#options);
    this.#child = child;
    child.on('error', reject);
    child.on('message', (message: FromRelay, handle: unknown) => {
      if (message.kind === 'listening') resolve();
      this.#onMessage(message, handle);
    });
    child.once('exit', (code, signal) => {
      reject(new PamError('PAM_INTERNAL', `the relay process ended at once (${signal ?? code})`));
      this.#onExit(child, `${signal ?? code}`);
    });
    const limits = { ...usualLimits, ...this.#options.limits };
    const balancers = this.#options.balancers ?? [];
    child.send({ kind: 'start', limits, balancers } satisfies ToRelay, this.#listening.handle);
    return promise;
  }

  expect(tickets: readonly ExpectedTicket[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const id = ++this.#lastId;
    this.#pending.set(id, { tickets, done: resolve });
    this.#send({ kind: 'expect', id, tickets });
    return promise;
  }

  bind(request: { readonly leg: number; readonly ticket: string }): void {
    this.#send({ kind: 'bind', ...request });
  }

  forget(match: string): void {
    this.#send({ kind: 'forget', match });
  }

  cut(match: string): void {
    this.#send({ kind: 'cut', match });
  }

  totals(withinMs: number): Promise<RelayTotals | null> {
    const { promise, resolve } = Promise.withResolvers<RelayTotals | null>();
    const id = ++this.#lastId;
    const cancel = relayClock.after(withinMs, () => answer(null));
    const answer = (totals: RelayTotals | null): void => {
      cancel();
      this.#asked.delete(id);
      resolve(totals);
    };
    this.#asked.set(id, answer);
    this.#send({ kind: 'count', id });
    return promise;
  }

  async close(): Promise<void> {
    if (!this.#closing) this.#listening.close();
    this.#closing = true;
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  #send(message: ToRelay): void {
    if (this.#child?.connected === true) this.#child.send(message);
  }

  #onMessage(message: FromRelay, handle: unknown): void {
    const events = this.#events;
    const { log } = this.#options;
    switch (message.kind) {
      case 'listening':
        this.#hasListened = true;
        return log('info', 'relay listens', { port: this.port, pid: this.pid, legs: message.legs });
      case 'expected':
        this.#pending.get(message.id)?.done();
        this.#pending.delete(message.id);
        return;
      case 'counted':
        return this.#asked.get(message.id)?.(message.totals);
      case 'waits':
        return this.#onWaits(message);
      case 'left':
        return this.#lose(message.id);
      case 'tls':
        return this.#onTls(message, handle);
      case 'matched':
        this.#matches.set(message.match, { bytesUp: 0, bytesDown: 0 });
        return events?.onMatched?.(message.match, { client: message.client, instance: message.instance });
      case 'bytes':
        for (const { match, ...bytes } of message.matches) {
          this.#matches.set(match, bytes);
          events?.onBytes?.(match, bytes);
        }
        return;
      case 'ended':
        this.#matches.delete(message.match);
        return events?.onEnded?.(message.match, message);
      case 'alone':
        return events?.onAlone?.(message.match, message.role);
      case 'echoed':
        return events?.onEchoed?.(message.ticket);
      case 'parked':
        return events?.onParked?.(message.ticket, message.leg);
      case 'parked-lost':
        return events?.onParkedLost?.(message.leg);
      case 'bound':
        return events?.onBound?.(message.leg, message.ticket);
      case 'log':
        return log(message.level, message.message, message.fields);
      default:
        return message satisfies never;
    }
  }

  #onWaits({ id, address, isTold, isLeg }: Extract<FromRelay, { kind: 'waits' }>): void {
    // A leg that comes before anybody was given a ticket has none that is good.
    if (this.#events === null && isLeg) return this.#send({ kind: 'refuse', id });
    const waiting: OwnWaiting = {
      address,
      isTold,
      isLeg,
      have: null,
      take: (have) => {
        waiting.have = have;
        this.#send({ kind: 'take', id });
      },
      refuse: () => {
        this.#waiting.delete(id);
        this.#send({ kind: 'refuse', id });
      },
      gone: () => undefined,
    };
    this.#waiting.set(id, waiting);
    this.#events?.onTls(waiting);
  }

  #lose(id: number): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.gone();
  }

  #onTls({ id, early }: Extract<FromRelay, { kind: 'tls' }>, handle: unknown): void {
    const waiting = this.#waiting.get(id);
    // The peer may have gone while its socket was on the way.
    if (!(handle instanceof Socket)) return this.#lose(id);
    this.#waiting.delete(id);
    handle.on('error', () => handle.destroy());
    if (waiting?.isLeg === true) stopReading(handle);
    if (waiting === undefined || waiting.have === null) handle.destroy();
    else waiting.have(handle, early);
  }

  #onExit(child: ChildProcess, how: string): void {
    if (this.#closing || this.#child !== child || !this.#hasListened) return;
    const events = this.#events;
    const { log } = this.#options;
    log('error', 'relay process died', { how, matches: this.#matches.size });
    const lost = [...this.#matches];
    this.#matches.clear();
    for (const id of [...this.#waiting.keys()]) this.#lose(id);
    for (const [match, bytes] of lost) events?.onEnded?.(match, { ...bytes, why: 'relay-lost' });
    const livedMs = relayClock.nowMs() - this.#startedAtMs;
    if (livedMs >= youngMs) this.#restart();
    else relayClock.after(youngRestartMs, () => this.#restart());
  }

  #restart(): void {
    if (this.#closing) return;
    this.start(null).then(
      () => {
        for (const [id, { tickets }] of this.#pending) this.#send({ kind: 'expect', id, tickets });
        this.#events?.onRestarted?.();
      },
      (reason: unknown) => {
        const { message } = PamError.from(reason, 'PAM_INTERNAL', 'the relay process did not start');
        this.#options.log('error', 'relay process did not come back', { message });
      },
    );
  }
}

/** Node begins to read a socket from another process at once; in the turn in which it came nothing has been read yet. */
function stopReading(socket: Socket): void {
  const { _handle: handle } = socket as unknown as { _handle?: { reading: boolean; readStop(): void } | null };
  if (!handle) return;
  handle.reading = false;
  handle.readStop();
}
