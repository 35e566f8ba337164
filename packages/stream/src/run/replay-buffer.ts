const leastBytes = 16_384;

/**
 * The bytes of one direction that the other end may not have yet: a ring that grows by doubling up to the window and is
 * given up whenever it is empty, so that an idle stream holds nothing and a busy one allocates nothing.
 *
 * Bytes are copied in: what they came in is used again for the next read, and one more pass over bytes that are in the
 * cache costs less than fresh buffers (docs/notes/data-plane-profile.md).
 */
export class ReplayBuffer {
  #ring: Uint8Array | null = null;
  /** Offset of the first byte held and of the one after the last, counted from the stream's start. */
  #from = 0;
  #to = 0;

  get bytes(): number {
    return this.#to - this.#from;
  }
  /** What it occupies: at most twice the window, rounded up to 16 KiB. */
  get capacity(): number {
    return this.#ring?.length ?? 0;
  }

  /** Appends bytes just sent. */
  keep(bytes: Uint8Array): void {
    const ring = this.#roomFor(bytes.length);
    const at = this.#to % ring.length;
    const first = Math.min(bytes.length, ring.length - at);
    if (first === bytes.length) ring.set(bytes, at);
    else {
      ring.set(bytes.subarray(0, first), at);
      ring.set(bytes.subarray(first), 0);
    }
    this.#to += bytes.length;
  }

  /** The other end has everything before `offset`; earlier and later than what is held is the same as all or nothing. */
  release(offset: number): void {
    this.#from = Math.min(Math.max(offset, this.#from), this.#to);
    if (this.#from === this.#to && this.capacity > leastBytes) this.#ring = null;
  }

  /** Copies of what is held from `offset` on, in pieces of at most `pieceBytes`. */
  *read(offset: number, pieceBytes: number): Generator<Uint8Array> {
    const ring = this.#ring;
    if (ring === null) return;
    for (let next = Math.max(offset, this.#from); next < this.#to; ) {
      const at = next % ring.length;
      const length = Math.min(pieceBytes, this.#to - next, ring.length - at);
      yield ring.slice(at, at + length);
      next += length;
    }
  }

  clear(): void {
    this.#ring = null;
    this.#from = this.#to;
  }

  #roomFor(more: number): Uint8Array {
    const needed = this.bytes + more;
    const old = this.#ring;
    if (old !== null && needed <= old.length) return old;
    let length = Math.max(old?.length ?? 0, leastBytes);
    while (length < needed) length *= 2;
    const ring = new Uint8Array(length);
    for (let next = this.#from; old !== null && next < this.#to; ) {
      const at = next % old.length;
      const to = next % length;
      const count = Math.min(this.#to - next, old.length - at, length - to);
      ring.set(old.subarray(at, at + count), to);
      next += count;
    }
    this.#ring = ring;
    return ring;
  }
}
