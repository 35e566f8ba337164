import type { Frame } from '../src/frame/frame.ts';
import { newStreamState, type StreamEffect, type StreamEvent, type StreamState } from '../src/flow/flow-state.ts';
import { stepStream } from '../src/flow/step-stream.ts';
import { ReplayBuffer } from '../src/run/replay-buffer.ts';

/** What an application does with its socket: reads when it likes, writes what it has. */
export interface App {
  /** Bytes it wants to write now; empty when none. */
  write(): Uint8Array;
  /** Whether it reads now. */
  wantsRead(): boolean;
  onRead(bytes: Uint8Array): void;
  /** It has written everything it ever will. */
  isFinished(): boolean;
  onEnd(): void;
}

/** One carrier: what is under way to each side. A cut one loses what is sent on it from then on. */
export class Wires {
  readonly to = { client: [] as Frame[], instance: [] as Frame[] };
  isCut = false;

  send(to: 'client' | 'instance', frame: Frame): void {
    if (!this.isCut) this.to[to].push(frame);
  }
}

/** One end: the step under test, a kernel buffer of `kernelBytes` each way, and an application. */
export class End {
  state: StreamState;
  carrier: Wires | null;
  offered: Wires | null = null;
  /** What the stream said when it lost its carrier; null while it has one. */
  detached: Extract<StreamEffect, { kind: 'detached' }> | null = null;
  readonly replay = new ReplayBuffer();
  mostKept = 0;
  readonly app: App;
  readonly effects: StreamEffect[] = [];
  /** Written by the app, not read by the stream. */
  #toStream: Uint8Array[] = [];
  #appEnded = false;
  #endTold = false;
  /** Delivered by the stream, not yet taken by the kernel buffer. */
  #toKernel: Uint8Array[] = [];
  #kernel: Uint8Array[] = [];
  #took = 0;
  #paused = false;
  #finishing = false;
  cleanEndSeen = false;
  resetSeen = false;
  delivered: number[] = [];
  sentByApp = 0;
  wakeAtMs: number | null = null;
  mostHeld = 0;
  readonly #kernelBytes: number;

  constructor(
    side: 'client' | 'instance',
    wires: Wires,
    options: {
      readonly window: number;
      readonly peerWindow: number;
      readonly kernelBytes: number;
      readonly detachMs?: number;
    },
    app: App,
  ) {
    const { window: windowBytes, peerWindow: peerWindowBytes, kernelBytes, detachMs = 0 } = options;
    this.state = newStreamState({ side, windowBytes, peerWindowBytes, detachMs });
    this.carrier = wires;
    this.#kernelBytes = kernelBytes;
    this.app = app;
  }

  step(event: StreamEvent, nowMs: number): void {
    const { state, effects } = stepStream(this.state, event, nowMs);
    this.state = state;
    if (event.kind === 'tick') this.wakeAtMs = null;
    this.replay.release(state.peerHas);
    for (const effect of effects) this.#perform(effect);
    this.mostKept = Math.max(this.mostKept, this.replay.bytes);
    this.mostHeld = Math.max(this.mostHeld, state.received - state.delivered);
  }

  #perform(effect: StreamEffect): void {
    this.effects.push(effect);
    if (effect.kind === 'send-data') this.#send({ kind: 'data', bytes: effect.bytes.slice() });
    if (effect.kind === 'send-data' || effect.kind === 'keep-data') this.replay.keep(effect.bytes);
    if (effect.kind === 'send') this.#send(effect.frame);
    if (effect.kind === 'drop-carrier') this.#drop();
    if (effect.kind === 'take-carrier') this.carrier = this.offered;
    if (effect.kind === 'refuse-carrier') this.#refuse(effect.frame);
    if (effect.kind === 'replay') {
      for (const bytes of this.replay.read(effect.from, 700)) this.#send({ kind: 'data', bytes });
    }
    if (effect.kind === 'detached') this.detached = effect;
    if (effect.kind === 'attached') this.detached = null;
    if (effect.kind === 'deliver') this.#toKernel.push(effect.bytes);
    if (effect.kind === 'finish-local') this.#finishing = true;
    if (effect.kind === 'reset-local') this.resetSeen = true;
    if (effect.kind === 'pause-local') this.#paused = true;
    if (effect.kind === 'resume-local') this.#paused = false;
    if (effect.kind === 'wake') this.wakeAtMs = effect.atMs;
  }

  get #other(): 'client' | 'instance' {
    return this.state.side === 'client' ? 'instance' : 'client';
  }

  #send(frame: Frame): void {
    this.carrier?.send(this.#other, frame);
  }

  #refuse(frame: Frame | null): void {
    if (this.offered === null) return;
    if (frame !== null) this.offered.send(this.#other, frame);
    this.offered.isCut = true;
  }

  /** The other end sees it lost; what was under way to it may still arrive. */
  #drop(): void {
    if (this.carrier === null) return;
    this.carrier.isCut = true;
    this.carrier.to[this.state.side].length = 0;
    this.carrier = null;
  }

  /** A number that grows whenever anything moves here. */
  progress(): number {
    const { sent, acked, received, lastAck, finSent, finAcked, closed } = this.state;
    const steps = sent + acked + received + lastAck + this.#took + this.delivered.length + this.sentByApp;
    return (
      steps +
      Number(this.#appEnded) +
      Number(this.#endTold) +
      Number(finSent) +
      Number(finAcked) +
      Number(closed) +
      Number(this.cleanEndSeen)
    );
  }

  /** Every move this end can make now; the scheduler picks. */
  moves(nowMs: () => number): (() => void)[] {
    const moves: (() => void)[] = [];
    const chunk = this.#toStream[0];
    if (chunk !== undefined && !this.#paused) {
      moves.push(() => {
        this.#toStream.shift();
        this.step({ kind: 'local-data', bytes: chunk }, nowMs());
      });
    }
    if (chunk === undefined && this.#appEnded && !this.#endTold && !this.#paused) {
      moves.push(() => {
        this.#endTold = true;
        this.step({ kind: 'local-ended' }, nowMs());
      });
    }
    if (this.#toKernel.length > 0 && sum(this.#kernel) < this.#kernelBytes) moves.push(() => this.#intoKernel(nowMs()));
    if (this.#kernel.length > 0 && this.app.wantsRead()) moves.push(() => this.#appReads());
    if (this.#finishing && this.#kernel.length === 0 && this.#toKernel.length === 0 && !this.cleanEndSeen) {
      moves.push(() => {
        this.cleanEndSeen = true;
        this.app.onEnd();
      });
    }
    if (sum(this.#toStream) < this.#kernelBytes && !this.#appEnded) this.#offerWrite(moves);
    return moves;
  }

  #offerWrite(moves: (() => void)[]): void {
    if (this.app.isFinished()) {
      moves.push(() => {
        this.#appEnded = true;
      });
      return;
    }
    moves.push(() => {
      const bytes = this.app.write();
      if (bytes.length === 0) return;
      this.sentByApp += bytes.length;
      this.#toStream.push(bytes);
    });
  }

  #intoKernel(nowMs: number): void {
    const bytes = this.#toKernel.shift() ?? new Uint8Array(0);
    this.#kernel.push(bytes);
    this.#took += bytes.length;
    this.step({ kind: 'local-took', total: this.#took }, nowMs);
  }

  #appReads(): void {
    const bytes = this.#kernel.shift() ?? new Uint8Array(0);
    this.delivered.push(...bytes);
    this.app.onRead(bytes);
  }
}

function sum(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((total, { length }) => total + length, 0);
}

/** Byte `n` of a direction, so that a prefix can be told from anything else. */
export const byteAt = (n: number): number => (n * 31 + (n >> 8)) & 255;

export function bytesFrom(start: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => byteAt(start + i));
}

/** Sends `total` bytes in chunks of at most `chunk`; reads always. */
export class Sender implements App {
  #sent = 0;
  readonly #total: number;
  readonly #chunk: number;
  constructor(total: number, chunk: number) {
    this.#total = total;
    this.#chunk = chunk;
  }
  write(): Uint8Array {
    const bytes = bytesFrom(this.#sent, Math.min(this.#chunk, this.#total - this.#sent));
    this.#sent += bytes.length;
    return bytes;
  }
  wantsRead(): boolean {
    return true;
  }
  onRead(): void {}
  onEnd(): void {}
  isFinished(): boolean {
    return this.#sent === this.#total;
  }
}

/**
 * A pipelined server: answers every byte with `factor` bytes and does not read while more than `unsentMost` of its
 * answers wait to be written. `first` bytes are said before anything is read (a banner that must be out first).
 */
export class Answerer implements App {
  #owed: number;
  #sent = 0;
  #ended = false;
  readonly #factor: number;
  readonly #unsentMost: number;
  constructor(factor: number, unsentMost: number, first: number) {
    this.#factor = factor;
    this.#unsentMost = unsentMost;
    this.#owed = first;
  }
  write(): Uint8Array {
    const bytes = bytesFrom(this.#sent, Math.min(500, this.#owed));
    this.#owed -= bytes.length;
    this.#sent += bytes.length;
    return bytes;
  }
  wantsRead(): boolean {
    return this.#owed <= this.#unsentMost;
  }
  onRead(bytes: Uint8Array): void {
    this.#owed += bytes.length * this.#factor;
  }
  onEnd(): void {
    this.#ended = true;
  }
  isFinished(): boolean {
    return this.#ended && this.#owed === 0;
  }
}
