/** What the first message of TLS asks for, as far as it says. */
export type TlsHello =
  | { readonly kind: 'incomplete' }
  /** ALPN names in the client's order; none when it names none, or when the message is not one TLS would take. */
  | { readonly kind: 'hello'; readonly protocols: readonly string[] };

const recordHeader = 5;
const recordMost = 16_384;
const alpn = 16;
const nothing: TlsHello = { kind: 'hello', protocols: [] };

/**
 * Reads the ALPN names of a ClientHello (RFC 8446 section 4.1.2, RFC 7301) from the first bytes of a connection. Judges
 * nothing else: whoever gets the connection has TLS read all of it again. One that spans records names nothing.
 */
export function readTlsHello(bytes: Uint8Array): TlsHello {
  if (bytes.length < recordHeader) return { kind: 'incomplete' };
  const length = ((bytes[3] ?? 0) << 8) | (bytes[4] ?? 0);
  if (bytes[0] !== 0x16 || length > recordMost) return nothing;
  if (bytes.length < recordHeader + length) return { kind: 'incomplete' };
  return { kind: 'hello', protocols: alpnOf(new Bytes(bytes.subarray(recordHeader, recordHeader + length))) };
}

function alpnOf(record: Bytes): readonly string[] {
  if (record.take(1) !== 1) return [];
  const hello = record.block(3);
  hello.skip(2 + 32);
  hello.block(1);
  hello.block(2);
  hello.block(1);
  const extensions = hello.block(2);
  while (extensions.left > 0) {
    const kind = extensions.take(2);
    const body = extensions.block(2);
    if (kind === alpn) return namesOf(body.block(2));
  }
  return [];
}

function namesOf(list: Bytes): readonly string[] {
  const names: string[] = [];
  while (list.left > 0 && names.length < 16) names.push(list.block(1).text());
  return names;
}

/** Reads forward; what is not there reads as nothing, and nothing is left then. */
class Bytes {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  take(size: 1 | 2 | 3): number {
    if (this.left < size) return this.#spoil();
    let value = 0;
    for (let i = 0; i < size; i++) value = value * 256 + (this.#bytes[this.#at + i] ?? 0);
    this.#at += size;
    return value;
  }

  skip(length: number): void {
    if (this.left < length) this.#spoil();
    else this.#at += length;
  }

  block(size: 1 | 2 | 3): Bytes {
    const length = this.take(size);
    if (this.left < length) this.#spoil();
    const block = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += block.length;
    return new Bytes(block);
  }

  text(): string {
    return Buffer.from(this.#bytes).toString('latin1');
  }

  #spoil(): number {
    this.#at = this.#bytes.length;
    return 0;
  }
}
