import { PamError } from '@sallyport/protocol';

export const malformed = (): PamError =>
  new PamError('PAM_TARGET_RESET', 'the server does not speak the protocol of MySQL');

/** Reads a packet field by field and throws where one goes past its end. @throws PAM_TARGET_RESET */
export class PacketFields {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.byteLength - this.#at;
  }

  bytes(count: number): Buffer {
    if (count > this.left) throw malformed();
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  /** Little-endian, `width` bytes. */
  integer(width: 1 | 2 | 3 | 4): number {
    return this.bytes(width).readUIntLE(0, width);
  }

  /** Up to a zero byte, which is taken and not given. */
  zeroEnded(): Buffer {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw malformed();
    const found = this.bytes(end - this.#at);
    this.#at += 1;
    return found;
  }

  /** An integer that says its own width; those of 8 bytes are longer than anything we ask for. */
  length(): number {
    const first = this.integer(1);
    if (first < 0xfb) return first;
    if (first === 0xfc) return this.integer(2);
    if (first === 0xfd) return this.integer(3);
    throw malformed();
  }

  /** A value of a row; null for NULL. */
  value(): string | null {
    if (this.left > 0 && this.#bytes[this.#at] === 0xfb) {
      this.#at += 1;
      return null;
    }
    return this.bytes(this.length()).toString('utf8');
  }
}
