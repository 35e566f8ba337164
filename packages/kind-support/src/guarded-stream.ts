import { Duplex } from 'node:stream';
import { PamError } from '@sallyport/protocol';

/** Checks and passes on what came in; what it throws ends the stream. */
type StreamFilter = (chunk: Buffer) => Buffer;

/**
 * A dialled stream as the libraries of database servers want one, with limits they do not have themselves:
 * G1 no more than `mostBytes` are taken from the server in all: their parsers keep what a length field announces.
 * G2 what a library throws while it reads an answer ends this stream, not the process: they parse inside the event.
 * G3 they read only what `filter` passes on.
 */
export class GuardedStream extends Duplex {
  readonly #inner: Duplex;
  readonly #mostBytes: number;
  readonly #filter: StreamFilter;
  #taken = 0;

  constructor(inner: Duplex, mostBytes: number, filter: StreamFilter) {
    super();
    this.#filter = filter;
    this.#inner = inner;
    this.#mostBytes = mostBytes;
    inner.on('data', (chunk: Buffer) => this.#take(chunk));
    inner.on('end', () => this.push(null));
    inner.on('error', (error) => this.destroy(error));
    inner.on('close', () => this.destroy());
    inner.pause();
    // Whoever listens hears of it; a stream nobody listens to yet must not end the process.
    this.on('error', () => undefined);
  }

  #take(chunk: Buffer): void {
    this.#taken += chunk.byteLength;
    try {
      if (this.#taken > this.#mostBytes)
        throw new PamError('PAM_TARGET_RESET', `the server said more than ${this.#mostBytes} bytes`);
      const passed = this.#filter(chunk);
      if (passed.byteLength > 0 && !this.push(passed)) this.#inner.pause();
    } catch (reason) {
      this.destroy(PamError.from(reason, 'PAM_TARGET_RESET', 'the server said what its protocol does not know'));
    }
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event !== 'data') return super.emit(event as 'data', ...(args as [unknown]));
    try {
      return super.emit('data', ...(args as [unknown]));
    } catch (reason) {
      this.destroy(PamError.from(reason, 'PAM_TARGET_RESET', 'the server said what its protocol does not know'));
      return true;
    }
  }

  override _read(): void {
    this.#inner.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#inner.write(chunk, encoding, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#inner.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#inner.destroy();
    done(error);
  }

  /** Libraries call it on what they think is a socket of their own; it stands already. */
  connect(): this {
    queueMicrotask(() => this.emit('connect'));
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  setTimeout(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}
