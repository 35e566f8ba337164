import { PamError } from '@sallyport/protocol';

/** Type byte and length field, which counts itself. */
const headBytes = 5;
const lengthBytes = 4;
/** Nothing that we ask for is longer. */
const longestMessage = 1024 * 1024;
const saslMethods = 10;

const malformed = (): PamError =>
  new PamError('PAM_TARGET_RESET', 'the server does not speak the protocol of PostgreSQL');

/** Reads a message and throws where a field goes past its end. */
class Fields {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  skip(count: number): void {
    this.#at += count;
    if (this.#at > this.#bytes.byteLength) throw malformed();
  }

  byte(): number {
    this.skip(1);
    return this.#bytes.readUInt8(this.#at - 1);
  }

  int16(): number {
    this.skip(2);
    return this.#bytes.readUInt16BE(this.#at - 2);
  }

  int32(): number {
    this.skip(4);
    return this.#bytes.readInt32BE(this.#at - 4);
  }

  /** @returns its length. */
  text(): number {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw malformed();
    const length = end - this.#at;
    this.#at = end + 1;
    return length;
  }
}

/** Walks those messages whose fields the library reads as far as they seem to go. */
function checkMessage(type: string, fields: Fields): void {
  switch (type) {
    case 'R':
      if (fields.int32() === saslMethods) while (fields.text() > 0);
      return;
    case 'E':
    case 'N':
      while (fields.byte() !== 0) fields.text();
      return;
    case 'S':
      fields.text();
      fields.text();
      return;
    case 'C':
      fields.text();
      return;
    case 'A':
      fields.skip(4);
      fields.text();
      fields.text();
      return;
    case 'T':
      for (let left = fields.int16(); left > 0; left -= 1) {
        fields.text();
        fields.skip(18);
      }
      return;
    case 'D':
      for (let left = fields.int16(); left > 0; left -= 1) fields.skip(Math.max(0, fields.int32()));
      return;
    default:
  }
}

/**
 * Passes on whole, well-formed messages only. pg reads the fields of a message without minding its end: one error without
 * its last zero byte, from a server that lies, and the process would never do anything else again.
 *
 * @returns a function that takes what came in and gives what may be read. @throws PAM_TARGET_RESET
 */
export function messageFilter(): (chunk: Buffer) => Buffer {
  let kept: readonly Buffer[] = [];
  let keptBytes = 0;
  let wanted = headBytes;
  return (chunk) => {
    kept = [...kept, chunk];
    keptBytes += chunk.byteLength;
    if (keptBytes < wanted) return Buffer.alloc(0);
    const bytes = Buffer.concat(kept);
    let at = 0;
    wanted = headBytes;
    while (bytes.byteLength - at >= headBytes) {
      const length = bytes.readUInt32BE(at + 1);
      if (length < lengthBytes || length > longestMessage) throw malformed();
      if (bytes.byteLength - at < length + 1) {
        wanted = length + 1;
        break;
      }
      checkMessage(String.fromCharCode(bytes[at] ?? 0), new Fields(bytes.subarray(at + headBytes, at + length + 1)));
      at += length + 1;
    }
    kept = [bytes.subarray(at)];
    keptBytes = bytes.byteLength - at;
    return bytes.subarray(0, at);
  };
}
