import type { Duplex } from 'node:stream';
import { type EndReason, endReasonSchema, PamError } from '@sallyport/protocol';
import type { StreamEffect, StreamEvent, StreamFault, StreamState } from '../flow/flow-state.ts';
import { creditOf, stepStream } from '../flow/step-stream.ts';
import { type ResetCode, resetCode } from '../frame/frame.ts';
import type { Carrier } from './carrier.ts';
import { lasting } from './local-scratch.ts';
import { LocalWriter } from './local-writer.ts';
import { resetLocal } from './reset-socket.ts';
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

/**
 * Joins an opened stream with a local socket until both ended or one broke.
 *
 * The local socket sees a clean end only after the last byte; everything else resets it. Never rejects. When `signal`
 * is aborted with an EndReason as its reason, that names the end on both sides.
 */
export function splice(options: {
  readonly carrier: Carrier;
  readonly local: Duplex;
  readonly state: StreamState;
  readonly timers: Timers;
  readonly signal: AbortSignal;
}): Promise<StreamOutcome> {
  return new Promise((resolve) => new Splice(options, resolve).start());
}

class Splice {
  readonly #carrier: Carrier;
  readonly #local: Duplex;
  readonly #timers: Timers;
  readonly #signal: AbortSignal;
  readonly #resolve: (outcome: StreamOutcome) => void;
  readonly #writer: LocalWriter;
  #state: StreamState;
  #reader: TurnReader | null = null;
  #cancelWake: (() => void) | null = null;

  constructor(options: Parameters<typeof splice>[0], resolve: (outcome: StreamOutcome) => void) {
    this.#carrier = options.carrier;
    this.#local = options.local;
    this.#timers = options.timers;
    this.#signal = options.signal;
    this.#state = options.state;
    this.#resolve = resolve;
    this.#writer = new LocalWriter(options.local, (total) => this.#step({ kind: 'local-took', total }));
  }

  start(): void {
    this.#local.on('end', () => this.#step({ kind: 'local-ended' }));
    this.#local.on('error', () => this.#step({ kind: 'local-broken' }));
    this.#local.on('close', () => this.#step({ kind: 'local-broken' }));
    if (this.#local.destroyed) this.#step({ kind: 'local-broken' });
    this.#signal.addEventListener('abort', this.#stop, { once: true });
    if (this.#signal.aborted) this.#stop();
    this.#carrier.listen({
      frame: (frame) => this.#step({ kind: 'frame', frame }),
      garbled: (error) => this.#step({ kind: 'carrier-garbled', error: error.message }),
      lost: () => this.#step({ kind: 'carrier-lost' }),
    });
    if (this.#state.closed) return;
    this.#reader = readByTurns(this.#local, this.#onLocalBytes);
    if (this.#state.localPaused) this.#reader.pause();
  }

  readonly #stop = (): void => {
    const parsed = endReasonSchema.safeParse(this.#signal.reason);
    const reason = parsed.success ? parsed.data : 'stopped';
    const code: ResetCode = Object.hasOwn(resetCode, reason) ? (reason as ResetCode) : 'stopped';
    this.#step({ kind: 'stop', code, reason });
  };

  readonly #onLocalBytes = (bytes: Uint8Array): void => {
    const waits = bytes.length > creditOf(this.#state);
    this.#step({ kind: 'local-data', bytes: waits ? lasting(bytes) : bytes });
  };

  #step(event: StreamEvent): void {
    const { state, effects } = stepStream(this.#state, event, this.#timers.nowMs());
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: StreamEffect): void {
    switch (effect.kind) {
      case 'send-data':
        return this.#carrier.sendData(effect.bytes);
      case 'send':
        return this.#carrier.send(effect.frame);
      case 'deliver':
        if (!this.#writer.write(effect.bytes)) this.#carrier.keepBytes();
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
        return;
      case 'closed':
        return this.#close(effect.reason, effect.error);
      default:
        return effect satisfies never;
    }
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
    this.#signal.removeEventListener('abort', this.#stop);
    this.#reader?.stop();
    this.#carrier.close();
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
