import type { Duplex } from 'node:stream';
import { PamError } from '@sallyport/protocol';
import { malformed, PacketFields } from './packet-fields.ts';

/** Nothing that we ask for is longer; packets of 16 MiB, which go on in the next one, are not read at all. */
const longestPacket = 65_536;
const mostBytes = 1_048_576;
const mostColumns = 16;
const headBytes = 4;

const okPacket = 0x00;
const localInfile = 0xfb;
const endPacket = 0xfe;
const errorPacket = 0xff;
/** An end is shorter than this; a row that begins with the same byte is longer. */
const longestEnd = 8;
const moreResults = 0x8;
const queryCommand = 3;
const quitCommand = 1;

export interface ServerError {
  readonly kind: 'error';
  readonly code: number;
  readonly message: string;
}
export type QueryReply =
  | { readonly kind: 'done' }
  | { readonly kind: 'rows'; readonly rows: readonly (readonly (string | null)[])[] }
  | ServerError;

/** Null when the packet is no error. */
export function readError(payload: Buffer): ServerError | null {
  if (payload[0] !== errorPacket) return null;
  const fields = new PacketFields(payload.subarray(1));
  const code = fields.integer(2);
  const text = fields.bytes(fields.left).toString('utf8');
  return { kind: 'error', code, message: text.replace(/^#[0-9A-Za-z]{5}/, '') };
}

/**
 * The protocol of MySQL over a stream that somebody else dialled: whole packets, one question at a time.
 *
 * C1 A packet is written in the turn of the call, or never.
 * C2 A server makes us keep 64 KiB for a packet and 1 MiB in all.
 * C3 What nobody asked for ends the connection; after that nothing is sent any more.
 */
export class MysqlConnection {
  readonly #stream: Duplex;
  #sequence: number;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #neededBytes = headBytes;
  #takenBytes = 0;
  readonly #packets: Buffer[] = [];
  #waiting: { resolve(payload: Buffer): void; reject(reason: unknown): void } | null = null;
  #lost: PamError | null = null;

  /** @param sequence - number of the next packet; a connection that changes to TLS counts on. */
  constructor(stream: Duplex, sequence = 0) {
    this.#stream = stream;
    this.#sequence = sequence;
    stream.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onEnd).on('error', this.#onEnd);
    stream.resume();
  }

  readonly #onData = (chunk: Buffer): void => this.#take(chunk);
  readonly #onEnd = (): void =>
    this.destroy(new PamError('PAM_TARGET_RESET', 'the server closed the connection before it answered'));

  get isOpen(): boolean {
    return this.#lost === null;
  }

  #take(chunk: Buffer): void {
    this.#takenBytes += chunk.byteLength;
    this.#keptBytes += chunk.byteLength;
    this.#kept.push(chunk);
    if (this.#takenBytes > mostBytes) return this.destroy(malformed());
    // Put together only when all of a packet is there: a slow drip must not cost its square.
    if (this.#keptBytes < this.#neededBytes) return;
    let bytes = Buffer.concat(this.#kept);
    this.#neededBytes = headBytes;
    while (bytes.byteLength >= headBytes) {
      const length = bytes.readUIntLE(0, 3);
      if (length === 0 || length > longestPacket) return this.destroy(malformed());
      if (bytes.byteLength < headBytes + length) {
        this.#neededBytes = headBytes + length;
        break;
      }
      this.#sequence = ((bytes[3] ?? 0) + 1) % 256;
      this.#packets.push(bytes.subarray(headBytes, headBytes + length));
      bytes = bytes.subarray(headBytes + length);
    }
    this.#kept = [bytes];
    this.#keptBytes = bytes.byteLength;
    if (this.#waiting === null || this.#packets.length === 0) return;
    const { resolve } = this.#waiting;
    this.#waiting = null;
    resolve(this.#packets.shift() as Buffer);
  }

  /** The next packet. @throws PAM_TARGET_RESET */
  receive(): Promise<Buffer> {
    const next = this.#packets.shift();
    if (next !== undefined) return Promise.resolve(next);
    if (this.#lost !== null) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  send(payload: Buffer): void {
    if (this.#lost !== null) throw this.#lost;
    const head = Buffer.alloc(headBytes);
    head.writeUIntLE(payload.byteLength, 0, 3);
    head[3] = this.#sequence;
    this.#sequence = (this.#sequence + 1) % 256;
    this.#stream.write(Buffer.concat([head, payload]));
  }

  /** One statement, and all of its answer. Rejects where the connection is lost: nobody knows then what became of it. */
  async ask(text: string): Promise<QueryReply> {
    if (this.#packets.length > 0 || this.#keptBytes > 0) this.destroy(malformed());
    this.#sequence = 0;
    this.#takenBytes = 0;
    this.send(Buffer.concat([Buffer.from([queryCommand]), Buffer.from(text, 'utf8')]));
    try {
      return await this.#answer();
    } catch (reason) {
      const lost = PamError.from(reason, 'PAM_TARGET_RESET', 'the answer of the server cannot be read');
      this.destroy(lost);
      throw lost;
    }
  }

  async #answer(): Promise<QueryReply> {
    const first = await this.receive();
    const error = readError(first);
    if (error !== null) return error;
    if (first[0] === okPacket) {
      const fields = new PacketFields(first.subarray(1));
      fields.length();
      fields.length();
      if ((fields.integer(2) & moreResults) !== 0) throw malformed();
      return { kind: 'done' };
    }
    if (first[0] === localInfile) throw malformed();
    const columns = new PacketFields(first).length();
    if (columns > mostColumns) throw malformed();
    for (let left = columns; left > 0; left -= 1) await this.receive();
    if (!isEnd(await this.receive())) throw malformed();
    const rows: (string | null)[][] = [];
    for (;;) {
      const packet = await this.receive();
      if (isEnd(packet)) return { kind: 'rows', rows };
      const late = readError(packet);
      if (late !== null) return late;
      const fields = new PacketFields(packet);
      rows.push(Array.from({ length: columns }, () => fields.value()));
    }
  }

  /** Gives the stream back, for TLS to begin on it. @throws PAM_TARGET_RESET when bytes came that nobody asked for. */
  release(): { readonly stream: Duplex; readonly sequence: number } {
    if (this.#lost !== null) throw this.#lost;
    if (this.#packets.length > 0 || this.#keptBytes > 0) {
      this.destroy(malformed());
      throw malformed();
    }
    this.#lost = new PamError('PAM_TARGET_RESET', 'the connection goes on under TLS');
    this.#detach();
    return { stream: this.#stream.pause(), sequence: this.#sequence };
  }

  #detach(): void {
    const stream = this.#stream;
    stream.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onEnd).off('error', this.#onEnd);
  }

  destroy(reason: PamError): void {
    if (this.#lost !== null) return;
    this.#lost = reason;
    this.#packets.length = 0;
    this.#kept = [];
    this.#detach();
    // A stream that is being destroyed may still fail.
    this.#stream.on('error', () => undefined).destroy();
    this.#waiting?.reject(reason);
    this.#waiting = null;
  }

  /** Says goodbye where it can, and closes. Idempotent. */
  close(): void {
    if (this.#lost !== null) return;
    this.#sequence = 0;
    this.send(Buffer.from([quitCommand]));
    this.#lost = new PamError('PAM_TARGET_RESET', 'the connection was closed');
    this.#detach();
    const stream = this.#stream.on('error', () => undefined);
    stream.end(() => stream.destroy());
    stream.resume();
  }
}

const isEnd = (packet: Buffer): boolean => packet[0] === endPacket && packet.byteLength <= longestEnd;
