import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { ChunkQueue } from './chunk-queue.ts';

/** Bytes given to the socket before the rest waits in our queue, so that what it took is known in small steps. */
const socketBytes = 131_072;

/**
 * Writes to the local socket and tells how many bytes it took (handed to the kernel). Every chunk is written at once:
 * TLS hands out 16 KiB at a time, and joining four into one system call costs more than it saves, because they have
 * left the cache by then (measured: docs/notes/data-plane-profile.md).
 */
export class LocalWriter {
  readonly #local: Writable;
  readonly #onTook: (total: number) => void;
  readonly #queue = new ChunkQueue();
  readonly #isSocket: boolean;
  #given = 0;
  #told = 0;

  constructor(local: Writable, onTook: (total: number) => void) {
    this.#local = local;
    this.#isSocket = local instanceof Socket;
    this.#onTook = onTook;
  }

  /** @returns whether the kernel took all of it: the bytes are not needed any more. Only a socket can promise that. */
  write(chunk: Uint8Array): boolean {
    this.#given += chunk.length;
    if (this.#queue.bytes > 0 || this.#local.writableLength >= socketBytes) this.#queue.push(chunk);
    else this.#local.write(chunk, this.#took);
    return this.#isSocket && this.#queue.bytes === 0 && this.#local.writableLength === 0;
  }

  readonly #took = (error?: Error | null): void => {
    if (error) return;
    const total = this.#given - this.#queue.bytes - this.#local.writableLength;
    if (total === this.#told) return;
    this.#told = total;
    if (this.#queue.bytes > 0 && this.#local.writableLength < socketBytes) {
      for (const chunk of this.#queue.take(socketBytes)) this.#local.write(chunk, this.#took);
    }
    this.#onTook(total);
  };
}
