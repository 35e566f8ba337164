import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { createCleanup, type Later, makeServerKey, tempDir } from '@sallyport/testkit';

/** Types of packets (MS-TDS 2.2.3.1.1). */
const types = { batch: 0x01, rpc: 0x03, answer: 0x04, login: 0x10, greeting: 0x12 } as const;
const headBytes = 8;

function packet(type: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt8(type, 0);
  head.writeUInt8(1, 1);
  head.writeUInt16BE(headBytes + body.byteLength, 2);
  return Buffer.concat([head, body]);
}

const u16 = (value: number): Buffer => Buffer.from([value & 0xff, value >> 8]);
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const short = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text, 'utf16le')]);
const long = (text: string): Buffer => Buffer.concat([u16(text.length), Buffer.from(text, 'utf16le')]);

/** Answers, as the tokens of MS-TDS 2.2.7. */
export const done = Buffer.concat([Buffer.from([0xfd]), u16(0), u16(0), Buffer.alloc(8)]);
const ack = (): Buffer => {
  const body = Buffer.concat([Buffer.from([1, 0x74, 0, 0, 4]), short('stand-in'), Buffer.alloc(4)]);
  return Buffer.concat([Buffer.from([0xad]), u16(body.byteLength), body]);
};
export function failed(number: number, text = 'the stand-in says no'): Buffer {
  const body = Buffer.concat([u32(number), Buffer.from([1, 16]), long(text), short('s'), short(''), u32(1)]);
  return Buffer.concat([Buffer.from([0xaa]), u16(body.byteLength), body, done]);
}
/** One row of numbers and texts. */
export function row(columns: Readonly<Record<string, number | string>>): Buffer {
  const all = Object.entries(columns);
  const meta = all.map(([name, value]) =>
    Buffer.concat([
      u32(0),
      u16(1),
      typeof value === 'number' ? Buffer.from([0x26, 4]) : Buffer.from([0xe7, 40, 0, 9, 4, 208, 0, 52]),
      short(name),
    ]),
  );
  const values = all.map(([, value]) =>
    typeof value === 'number'
      ? Buffer.concat([Buffer.from([4]), u32(value)])
      : Buffer.concat([u16(value.length * 2), Buffer.from(value, 'utf16le')]),
  );
  return Buffer.concat([Buffer.from([0x81]), u16(all.length), ...meta, Buffer.from([0xd1]), ...values, done]);
}
/** Go to another server instead (ENVCHANGE, routing). */
export function routing(host: string, port: number): Buffer {
  const where = Buffer.concat([Buffer.from([0]), u16(port), long(host)]);
  const body = Buffer.concat([Buffer.from([20]), u16(where.byteLength), where, u16(0)]);
  return Buffer.concat([Buffer.from([0xe3]), u16(body.byteLength), body]);
}
export const opened = Buffer.concat([ack(), done]);

export interface StandInLogin {
  readonly name: string;
  readonly password: string;
}
/** `null` closes the connection in place of an answer. */
export type Answer = Buffer | null | 'silence';
export interface Script {
  readonly onLogin: (login: StandInLogin) => Answer;
  readonly onText: (text: string) => Answer;
}
export interface StandIn {
  readonly port: number;
  readonly logins: readonly StandInLogin[];
  /** Batches and calls, without the one that the library sends after each login. */
  readonly texts: readonly string[];
}

/** Names and the password, which the protocol only turns over (MS-TDS 2.2.6.4). */
function readLogin(body: Buffer): StandInLogin {
  const field = (at: number): Buffer => {
    const start = body.readUInt16LE(at);
    return body.subarray(start, start + body.readUInt16LE(at + 2) * 2);
  };
  const password = Buffer.from(field(44).map((byte) => ((byte ^ 0xa5) << 4) | ((byte ^ 0xa5) >> 4)));
  return { name: field(40).toString('utf16le'), password: password.toString('utf16le') };
}

/** TLS inside packets while it shakes hands, and bare afterwards. */
class WrappedStream extends Duplex {
  readonly #socket: Socket;
  #flight: Buffer[] = [];
  isBare = false;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    if (this.isBare) this.#socket.write(chunk);
    else if (this.#flight.push(chunk) === 1) setImmediate(() => this.#send());
    callback();
  }

  /** A flight is one message: the client answers each message with one of its own. */
  #send(): void {
    this.#socket.write(packet(types.greeting, Buffer.concat(this.#flight)));
    this.#flight = [];
  }
}

/** Made once: every stand-in of a test file is the same server. */
let made: Promise<{ readonly key: Buffer; readonly cert: Buffer }> | null = null;
function serverKey(): NonNullable<typeof made> {
  made ??= (async () => {
    const cleanup = createCleanup();
    const folder = tempDir(cleanup.later);
    await makeServerKey(folder, 'localhost', '127.0.0.1');
    const [key, cert] = ['key.pem', 'cert.pem'].map((file) => readFileSync(join(folder, file)));
    await cleanup.run();
    if (key === undefined || cert === undefined) throw new Error('there is no key');
    return { key, cert };
  })();
  return made;
}

/**
 * A **protocol stand-in**: it speaks as much of TDS as the library needs to log in and to be answered, from Microsoft's
 * published description. It knows no SQL and keeps no accounts, and proves nothing about SQL Server: what is tested with it
 * is this side alone.
 */
export async function startStandIn(later: Later, script: Script): Promise<StandIn> {
  const { key, cert } = await serverKey();
  const logins: StandInLogin[] = [];
  const texts: string[] = [];
  const sockets = new Set<Socket>();

  function onMessage(type: number, body: Buffer, secure: TLSSocket): void {
    const answer = (bytes: Answer): void => {
      if (bytes === null) secure.destroy();
      else if (bytes !== 'silence') secure.write(packet(types.answer, bytes));
    };
    if (type === types.login) {
      logins.push(readLogin(body));
      return answer(script.onLogin(logins.at(-1) as StandInLogin));
    }
    const text = body.subarray(body.readUInt32LE(0)).toString('utf16le');
    if (text.includes('set ansi_nulls')) return answer(done);
    texts.push(text);
    answer(script.onText(text));
  }

  const server = createServer((socket) => {
    sockets.add(socket);
    const wrapped = new WrappedStream(socket);
    let bytes: Buffer = Buffer.alloc(0);
    let isGreeted = false;
    socket.on('error', () => socket.destroy());
    socket.on('close', () => wrapped.destroy());
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.byteLength >= headBytes && bytes[0] === types.greeting) {
        const length = bytes.readUInt16BE(2);
        if (bytes.byteLength < length) return;
        const body = bytes.subarray(headBytes, length);
        bytes = bytes.subarray(length);
        if (isGreeted) wrapped.push(body);
        else {
          isGreeted = true;
          // Version 16 and encryption: on (MS-TDS 2.2.6.5).
          const options = [0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 16, 0, 0, 0, 0, 0, 1];
          socket.write(packet(types.answer, Buffer.from(options)));
        }
      }
      if (bytes.byteLength === 0 || bytes[0] === types.greeting) return;
      wrapped.push(bytes);
      bytes = Buffer.alloc(0);
    });
    const secure = new TLSSocket(wrapped, {
      isServer: true,
      key,
      cert,
      maxVersion: 'TLSv1.2',
    });
    let clear: Buffer = Buffer.alloc(0);
    let parts: Buffer[] = [];
    secure.on('error', () => socket.destroy());
    secure.on('secure', () => setImmediate(() => (wrapped.isBare = true)));
    secure.on('close', () => socket.destroy());
    secure.on('data', (chunk: Buffer) => {
      clear = Buffer.concat([clear, chunk]);
      while (clear.byteLength >= headBytes && clear.byteLength >= clear.readUInt16BE(2)) {
        const length = clear.readUInt16BE(2);
        const [type = 0, status = 0] = clear;
        parts.push(clear.subarray(headBytes, length));
        clear = clear.subarray(length);
        if ((status & 1) === 0) continue;
        const body = Buffer.concat(parts);
        parts = [];
        onMessage(type, body, secure);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  later(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const address = server.address();
  return { port: address !== null && typeof address === 'object' ? address.port : 0, logins, texts };
}
