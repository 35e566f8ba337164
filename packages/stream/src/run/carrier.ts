import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { PamError } from '@sallyport/protocol';
import { encodeFrame, frameHeader } from '../frame/encode-frame.ts';
import type { Frame } from '../frame/frame.ts';
import { FrameDecoder } from '../frame/frame-decoder.ts';
import { breakTls } from '../tls/break-tls.ts';
import { frameInScratch, lasting } from './local-scratch.ts';
import type { Timers } from './system-timers.ts';
import { readTlsByTurns, type TlsReader } from './tls-reader.ts';

/** What a carrier tells: frames in order, then at most one of `garbled` and `lost`. */
export interface CarrierListener {
  frame(frame: Frame): void;
  garbled(error: PamError): void;
  lost(): void;
}

/** More than any honest window: a peer that asks (PING) and never reads ends here. */
const mostUnsentBytes = 20_971_520;
const lingerMs = 2_000;

/**
 * Frames over one end-to-end TLS connection. Reads at most 64 KiB a turn and never stops for longer while somebody
 * listens; without a listener frames wait and the connection is paused (at most one chunk is held). The bytes of a DATA
 * frame are good while it is told, unless `keepBytes` is called.
 *
 * Only a FIN frame tells an end from a death: TLS shows a killed peer as a plain end, so every end here is `lost`.
 */
export class Carrier {
  readonly #tls: TLSSocket;
  readonly #raw: Duplex;
  readonly #timers: Timers;
  readonly #decoder = new FrameDecoder();
  readonly #reader: TlsReader;
  #listener: CarrierListener | null = null;
  #held: ((listener: CarrierListener) => void)[] = [];
  /** The last word was told: garbled or lost. */
  #over = false;
  #gone = false;
  #closing = false;

  constructor(tls: TLSSocket, raw: Duplex, timers: Timers) {
    this.#tls = tls;
    this.#raw = raw;
    this.#timers = timers;
    for (const socket of [tls, raw]) {
      socket.on('error', this.#lost);
      socket.on('close', this.#lost);
    }
    tls.on('end', this.#lost);
    this.#reader = readTlsByTurns(tls, (bytes) => this.#read(bytes));
    this.#reader.pause();
    // It may have been lost while its certificate was being judged.
    if (tls.destroyed || raw.destroyed) this.#lost();
  }

  /** Whose turn it is to get frames; `null` holds them back. */
  listen(listener: CarrierListener | null): void {
    this.#listener = listener;
    if (listener === null) return this.#reader.pause();
    while (this.#held.length > 0 && this.#listener === listener) this.#held.shift()?.(listener);
    if (this.#listener === listener && !this.#closing) this.#reader.resume();
  }

  send(frame: Frame): void {
    if (this.#tls.writableLength > mostUnsentBytes) breakTls(this.#tls, this.#raw);
    else if (this.#tls.writable) this.#tls.write(encodeFrame(frame));
  }

  /** One DATA frame of 1 byte to 64 KiB; bytes of the scratch may change afterwards, others must not. */
  sendData(bytes: Uint8Array): void {
    if (!this.#tls.writable) return;
    const framed = this.#tls.writableLength === 0 ? frameInScratch(bytes) : null;
    if (framed !== null) {
      this.#tls.write(framed);
      return;
    }
    this.#tls.cork();
    this.#tls.write(frameHeader('data', bytes.length));
    this.#tls.write(lasting(bytes));
    this.#tls.uncork();
  }

  /** While a DATA frame is being told: its bytes are needed longer than that. */
  keepBytes(): void {
    this.#reader.keep();
  }

  /** Destroys it in a turn of its own; nothing of it is told any more. */
  drop(): void {
    this.#closing = true;
    this.#listener = null;
    this.#held = [];
    breakTls(this.#tls, this.#raw);
  }

  /** Sends what is queued, ends, and frees the descriptor within 2 s. Nothing is told any more. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#listener = null;
    this.#held = [];
    if (this.#gone) return breakTls(this.#tls, this.#raw);
    const cancel = this.#timers.after(lingerMs, () => breakTls(this.#tls, this.#raw));
    this.#raw.once('close', cancel);
    this.#tls.end();
    this.#reader.resume();
  }

  #read(bytes: Uint8Array): void {
    if (this.#closing) return;
    try {
      this.#decoder.push(bytes, this.#frame);
    } catch (reason) {
      const error = PamError.from(reason, 'PAM_INTERNAL', 'a frame could not be handled');
      this.#over = true;
      this.#tell((listener) => listener.garbled(error));
    }
  }

  readonly #frame = (frame: Frame): void => {
    if (this.#listener !== null && this.#held.length === 0) return this.#listener.frame(frame);
    this.#reader.keep();
    this.#held.push((listener) => listener.frame(frame));
  };

  readonly #lost = (): void => {
    if (this.#closing && !this.#gone) breakTls(this.#tls, this.#raw);
    this.#gone = true;
    if (this.#over) return;
    this.#over = true;
    this.#tell((listener) => listener.lost());
  };

  #tell(what: (listener: CarrierListener) => void): void {
    if (this.#listener === null) this.#held.push(what);
    else what(this.#listener);
  }
}
