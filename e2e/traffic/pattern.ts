import { createCipheriv, createHash } from 'node:crypto';

/** First line of a traffic stream, from user to target; both then send as many bytes of their pattern, and end. */
export interface StreamOrder {
  /** Names the stream at both ends; at most 64 characters. */
  readonly id: string;
  /** Bytes target → user. */
  readonly down: number;
  /** Bytes user → target. */
  readonly up: number;
  /** Each way; 0: as fast as they are taken. */
  readonly bytesPerSecond: number;
}

/** How a stream ended at one end: a FIN, its own destruction, or the code of an error. */
export type StreamEnd = 'fin' | 'given-up' | (string & {});

/** What one end saw of a stream. */
export interface StreamSight {
  readonly id: string;
  readonly received: number;
  readonly sent: number;
  /** Offset of the first byte that was not the one sent there; null: every byte was right. */
  readonly wrongAt: number | null;
  /** Bytes that had come when the other's FIN came; null: it did not. A FIN before the last byte is a cut that looks clean. */
  readonly finAfter: number | null;
}

export const maxOrderBytes = 512;

/** The bytes of one direction of one stream: the same at both ends, and the same twice nowhere. */
export class Pattern {
  readonly #cipher: ReturnType<typeof createCipheriv>;
  #given = 0;

  constructor(id: string, direction: 'up' | 'down') {
    const key = createHash('sha256').update(`${direction} ${id}`).digest().subarray(0, 16);
    this.#cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  }

  /** Bytes given so far. */
  get given(): number {
    return this.#given;
  }

  next(length: number): Buffer {
    this.#given += length;
    return this.#cipher.update(Buffer.alloc(length));
  }

  /** Compares what came with what had to come; the offset of the first wrong byte, or null. */
  check(bytes: Buffer): number | null {
    const at = this.#given;
    const expected = this.next(bytes.byteLength);
    if (expected.equals(bytes)) return null;
    return at + bytes.findIndex((byte, i) => byte !== expected[i]);
  }
}
