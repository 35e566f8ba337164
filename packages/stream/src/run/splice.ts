import type { Duplex } from 'node:stream';
import { type EndReason, type Notice, PamError } from '@sallyport/protocol';
import type { StreamEffect, StreamEvent, StreamFault, StreamState } from '../flow/flow-state.ts';
import { creditOf, stepStream } from '../flow/step-stream.ts';
import { frameLimits, type GoneCode, type ResetCode, resetCode } from '../frame/frame.ts';
import type { Carrier } from './carrier.ts';
import { lasting } from './local-scratch.ts';
import { LocalWriter } from './local-writer.ts';
import { ReplayBuffer } from './replay-buffer.ts';
import { resetLocal } from './reset-socket.ts';
import { readStop } from './stop-reason.ts';
import type { Timers } from './system-timers.ts';
import { readByTurns, type TurnReader } from './turn-reader.ts';

/**
 * How a stream ended. Bytes are payload; `bytesUp` goes from client to target, counted where it is reported: what was
 * handed to the target's (`instance`) or taken from the user's (`client`) socket.
 */
export interface StreamOutcome {
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly reason: EndReason;
  /** Null after a clean end and after a stop of our own. */
  readonly error: PamError | null;
  /** The target was reached. */
  readonly opened: boolean;
}

/** What a lost carrier left: a client looks for another leg with a generation greater than `gen`. */
export interface DetachedStream {
  readonly gen: number;
  readonly received: number;
}

/** Another carrier to the same instance, or its word that there is nothing to resume. */
export type Reattached =
  | {
      readonly kind: 'resumed';
      readonly carrier: Carrier;
      readonly gen: number;
      /** What RESUME said. */
      readonly told: number;
      readonly received: number;
    }
  | { readonly kind: 'gone'; readonly code: GoneCode; readonly received: number; readonly final: boolean };

/**
 * Finds another carrier. Rejects when nobody can resume the stream any more; `signal` fires when it is not wanted any
 * more. How long it may take is the stream's own limit.
 */
export type Reattach = (stream: DetachedStream, signal: AbortSignal) => Promise<Reattached>;

export type AttachmentChange =
  | { readonly kind: 'detached'; readonly limitInMs: number }
  | { readonly kind: 'attached'; readonly gen: number };

/** What an instance keeps of a stream to be reached by: running, or ended. */
export type StreamDoor = Pick<RunningSplice, 'offer' | 'notify' | 'tombstone'>;

/** A stream that runs, through one carrier after another. */
export interface RunningSplice {
  /** Never rejects. */
  readonly outcome: Promise<StreamOutcome>;
  /** Instance: the holder of the session key said RESUME on this carrier. Owned from here on; also after the end. */
  offer(carrier: Carrier, resume: { readonly gen: number; readonly received: number }): void;
  /** Once it ended: what is left of it to say GONE to who resumes. Holds no socket, no bytes. */
  tombstone(): StreamDoor;
  /** Says something to the user's end, at once or on the next carrier; of several only the last. */
  notify(notice: Notice): void;
}

export interface SpliceOptions {
  readonly carrier: Carrier;
  readonly local: Duplex;
  readonly state: StreamState;
  readonly timers: Timers;
  readonly signal: AbortSignal;
  /** A client's; without it the stream waits for an `offer`. */
  readonly reattach?: Reattach;
  readonly onAttachment?: (change: AttachmentChange) => void;
  /** The other end says something to people. */
  readonly onNotice?: (notice: Notice) => void;
}

/**
 * Joins an opened stream with a local socket until both ended or one broke.
 *
 * The local socket sees a clean end only after the last byte; everything else resets it. When `signal` is aborted with
 * an EndReason or StopReason as its reason, that names the end on both sides.
 */
export function splice(options: SpliceOptions): RunningSplice {
  return new Splice(options).start();
}

class Splice implements RunningSplice {
  readonly outcome: Promise<StreamOutcome>;
  readonly #options: SpliceOptions;
  readonly #local: Duplex;
  readonly #timers: Timers;
  readonly #resolve: (outcome: StreamOutcome) => void;
  readonly #writer: LocalWriter;
  readonly #replay = new ReplayBuffer();
  #carrier: Carrier | null;
  #offered: Carrier | null = null;
  #state: StreamState;
  #reader: TurnReader | null = null;
  #cancelWake: (() => void) | null = null;
  #redial: AbortController | null = null;
  /** Not said yet, for want of a carrier. */
  #unsaid: { readonly notice: Notice; readonly sinceMs: number } | null = null;

  constructor(options: SpliceOptions) {
    const { promise, resolve } = Promise.withResolvers<StreamOutcome>();
    this.outcome = promise;
    this.#resolve = resolve;
    this.#options = options;
    this.#carrier = options.carrier;
    this.#local = options.local;
    this.#timers = options.timers;
    this.#state = options.state;
    this.#writer = new LocalWriter(options.local, (total) => this.#step({ kind: 'local-took', total }));
  }

  start(): this {
    const { signal } = this.#options;
    this.#local.on('end', () => this.#step({ kind: 'local-ended' }));
    this.#local.on('error', () => this.#step({ kind: 'local-broken' }));
    this.#local.on('close', () => this.#step({ kind: 'local-broken' }));
    if (this.#local.destroyed) this.#step({ kind: 'local-broken' });
    signal.addEventListener('abort', this.#stop, { once: true });
    if (signal.aborted) this.#stop();
    if (this.#carrier !== null) this.#listen(this.#carrier);
    this.#step({ kind: 'tick' });
    if (this.#state.closed) return this;
    this.#reader = readByTurns(this.#local, this.#onLocalBytes);
    if (this.#state.localPaused) this.#reader.pause();
    return this;
  }

  tombstone(): StreamDoor {
    const { code, final } = this.#state.end ?? { code: 'ended', final: false };
    const gone = { kind: 'gone', code, received: this.#state.received, final } as const;
    const door: StreamDoor = {
      offer: (carrier) => {
        carrier.send(gone);
        carrier.close();
      },
      notify: () => undefined,
      tombstone: () => door,
    };
    return door;
  }

  offer(carrier: Carrier, { gen, received }: { readonly gen: number; readonly received: number }): void {
    this.#offer(carrier, { kind: 'resume', gen, received });
  }

  #offer(carrier: Carrier, event: StreamEvent): void {
    this.#offered = carrier;
    this.#step(event);
    this.#offered = null;
    if (this.#carrier !== carrier) return;
    this.#listen(carrier);
    this.#sayNotice();
  }

  notify(notice: Notice): void {
    this.#unsaid = { notice, sinceMs: this.#timers.nowMs() };
    this.#sayNotice();
  }

  #sayNotice(): void {
    if (this.#unsaid === null || this.#carrier === null) return;
    const { notice, sinceMs } = this.#unsaid;
    const deadlineInMs = Math.max(0, Math.round(notice.deadlineInMs - (this.#timers.nowMs() - sinceMs)));
    this.#carrier.send({ kind: 'notice', body: { ...notice, deadlineInMs } });
    this.#unsaid = null;
  }

  #listen(carrier: Carrier): void {
    carrier.listen({
      frame: (frame) => this.#step({ kind: 'frame', frame }),
      garbled: (error) => this.#step({ kind: 'carrier-garbled', error: error.message }),
      lost: () => this.#step({ kind: 'carrier-lost' }),
    });
  }

  readonly #stop = (): void => {
    const { reason, words } = readStop(this.#options.signal.reason);
    const code: ResetCode = Object.hasOwn(resetCode, reason) ? (reason as ResetCode) : 'stopped';
    this.#step({ kind: 'stop', code, reason, ...(words === '' ? {} : { words }) });
  };

  readonly #onLocalBytes = (bytes: Uint8Array): void => {
    const waits = bytes.length > creditOf(this.#state);
    this.#step({ kind: 'local-data', bytes: waits ? lasting(bytes) : bytes });
  };

  #step(event: StreamEvent): void {
    const held = this.#state.peerHas;
    const { state, effects } = stepStream(this.#state, event, this.#timers.nowMs());
    this.#state = state;
    if (state.peerHas !== held) this.#replay.release(state.peerHas);
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: StreamEffect): void {
    switch (effect.kind) {
      case 'send-data':
        this.#carrier?.sendData(effect.bytes);
        return this.#keep(effect.bytes);
      case 'keep-data':
        return this.#keep(effect.bytes);
      case 'send':
        return this.#carrier?.send(effect.frame);
      case 'deliver':
        if (!this.#writer.write(effect.bytes)) this.#carrier?.keepBytes();
        return;
      case 'finish-local':
        this.#local.end();
        return;
      case 'reset-local':
        return resetLocal(this.#local);
      case 'pause-local':
        return this.#reader?.pause();
      case 'resume-local':
        return this.#reader?.resume();
      case 'wake':
        return this.#wake(effect.atMs);
      case 'notice':
        return this.#options.onNotice?.(effect.notice);
      case 'drop-carrier':
      case 'take-carrier':
      case 'refuse-carrier':
      case 'replay':
      case 'detached':
      case 'attached':
        return this.#change(effect);
      case 'closed':
        return this.#close(effect.reason, effect.error);
      default:
        return effect satisfies never;
    }
  }

  #change(effect: CarrierEffect): void {
    switch (effect.kind) {
      case 'drop-carrier':
        this.#carrier?.drop();
        this.#carrier = null;
        return;
      case 'take-carrier':
        this.#redial?.abort();
        this.#redial = null;
        this.#carrier = this.#offered;
        return;
      case 'refuse-carrier':
        if (effect.frame === null) return this.#offered?.drop();
        this.#offered?.send(effect.frame);
        return this.#offered?.close();
      case 'replay':
        for (const bytes of this.#replay.read(effect.from, frameLimits.data)) this.#carrier?.sendData(bytes);
        return;
      case 'detached':
        this.#options.onAttachment?.({ kind: 'detached', limitInMs: effect.limitAtMs - this.#timers.nowMs() });
        return this.#look(effect);
      case 'attached':
        return this.#options.onAttachment?.({ kind: 'attached', gen: effect.gen });
      default:
        return effect satisfies never;
    }
  }

  /** Bytes that may have to be sent again; where no carrier is ever replaced nothing is kept. */
  #keep(bytes: Uint8Array): void {
    if (this.#state.detachMs > 0) this.#replay.keep(bytes);
  }

  #look(stream: DetachedStream): void {
    const { reattach } = this.#options;
    if (reattach === undefined) return;
    const redial = new AbortController();
    this.#redial = redial;
    reattach({ gen: stream.gen, received: stream.received }, redial.signal).then(
      (found) => {
        if (found.kind === 'gone') this.#step(found);
        else {
          const { carrier, gen, told, received } = found;
          this.#offer(carrier, { kind: 'resumed', gen, told, received });
        }
      },
      (reason: unknown) => {
        const { code, message } = PamError.from(reason, 'PAM_STREAM_LOST', 'the stream could not be resumed');
        this.#step({ kind: 'abandoned', fault: { code, message } });
      },
    );
  }

  #wake(atMs: number): void {
    this.#cancelWake?.();
    this.#cancelWake = this.#timers.after(Math.max(1, Math.ceil(atMs - this.#timers.nowMs())), () => {
      this.#cancelWake = null;
      this.#step({ kind: 'tick' });
    });
  }

  #close(reason: EndReason, fault: StreamFault | null): void {
    this.#cancelWake?.();
    this.#redial?.abort();
    this.#options.signal.removeEventListener('abort', this.#stop);
    this.#reader?.stop();
    this.#carrier?.close();
    this.#carrier = null;
    this.#replay.clear();
    const { sent, delivered, side } = this.#state;
    this.#resolve({
      bytesUp: side === 'client' ? sent : delivered,
      bytesDown: side === 'client' ? delivered : sent,
      reason,
      error: fault === null ? null : new PamError(fault.code, fault.message),
      opened: true,
    });
  }
}

type CarrierEffect = Extract<
  StreamEffect,
  { kind: 'drop-carrier' | 'take-carrier' | 'refuse-carrier' | 'replay' | 'detached' | 'attached' }
>;
