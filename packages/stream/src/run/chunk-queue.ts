const blockBytes = 16_384;
const smallBytes = 4_096;

/**
 * Bytes waiting for a slow local socket. Small chunks are packed into 16 KiB blocks, so that a hostile peer's one-byte
 * frames cost what they carry: at most one entry per 4 KiB, plus one.
 */
export class ChunkQueue {
  #chunks: Uint8Array[] = [];
  #block: Uint8Array | null = null;
  #blockUsed = 0;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  push(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    if (chunk.length > smallBytes) {
      this.#seal();
      this.#chunks.push(chunk);
      return;
    }
    if (this.#block !== null && this.#blockUsed + chunk.length > blockBytes) this.#seal();
    this.#block ??= new Uint8Array(blockBytes);
    this.#block.set(chunk, this.#blockUsed);
    this.#blockUsed += chunk.length;
  }

  /** Takes chunks out in order until they are at least `atLeastBytes` together, or all of them. */
  take(atLeastBytes: number): readonly Uint8Array[] {
    let bytes = 0;
    let count = 0;
    while (bytes < atLeastBytes && count < this.#chunks.length) bytes += this.#chunks[count++]?.length ?? 0;
    const taken = this.#chunks.splice(0, count);
    if (bytes < atLeastBytes && this.#block !== null) {
      this.#seal();
      const last = this.#chunks.pop();
      if (last !== undefined) {
        taken.push(last);
        bytes += last.length;
      }
    }
    this.#bytes -= bytes;
    return taken;
  }

  #seal(): void {
    if (this.#block !== null) this.#chunks.push(this.#block.subarray(0, this.#blockUsed));
    this.#block = null;
    this.#blockUsed = 0;
  }
}
