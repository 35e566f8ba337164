import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';
import { createCleanup, type Later, makeServerKey, tempDir } from '@sallyport/testkit';
import { type Document, Timestamp } from 'bson';
import { readMessage, writeMessage } from '../src/message.ts';

/** `null` closes the connection; bytes go out as they are; a document answers the command. */
export type Answer = Document | Uint8Array | 'silence' | null;
export type Script = (command: Document) => Answer | undefined;
export interface StandIn {
  readonly port: number;
  /** What opens each user; `updateUser` changes it. */
  readonly passwords: ReadonlyMap<string, string>;
  readonly commands: readonly Document[];
  /** Names of the commands, in order. */
  names(): readonly string[];
}

export interface StandInOptions {
  readonly iterations?: number;
  /** Answers go out a byte at a time. */
  readonly drips?: boolean;
  /** More users, and what opens them. */
  readonly users?: readonly (readonly [name: string, password: string])[];
}

export const known = { user: 'rotator', password: 'pa=ss,word of the rotator' };
export const ok = { ok: 1 };
export const hello = (seconds: number, setName = 'rs0'): Document => ({
  ...{
    ...ok,
    isWritablePrimary: true,
    minWireVersion: 0,
    maxWireVersion: 21,
    setName,
    saslSupportedMechs: ['SCRAM-SHA-256'],
  },
  lastWrite: { opTime: { ts: new Timestamp({ t: seconds, i: 1 }), t: 1 } },
});

const refused = { ok: 0, code: 18, errmsg: 'Authentication failed.' };

const hmac = (key: Uint8Array, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const salt = Buffer.from('salt of the stand-in');

/** The server's half of SCRAM, for one login. */
class Exchange {
  #bare = '';
  #challenge = '';
  readonly #passwords: ReadonlyMap<string, string>;
  readonly #iterations: number;

  constructor(passwords: ReadonlyMap<string, string>, iterations: number) {
    this.#passwords = passwords;
    this.#iterations = iterations;
  }

  start(payload: string): Document {
    this.#bare = payload.slice('n,,'.length);
    const nonce = /r=(.*)$/.exec(this.#bare)?.[1] ?? '';
    this.#challenge = `r=${nonce}and-more,s=${salt.toString('base64')},i=${this.#iterations}`;
    return { ...ok, conversationId: 1, done: false, payload: Buffer.from(this.#challenge) };
  }

  finish(payload: string): Document {
    const [, withoutProof = '', proof = ''] = /^(.*),p=(.*)$/.exec(payload) ?? [];
    const exchange = `${this.#bare},${this.#challenge},${withoutProof}`;
    const password = this.#passwords.get(/^n=([^,]*),/.exec(this.#bare)?.[1] ?? '');
    if (password === undefined) return refused;
    const salted = pbkdf2Sync(password, salt, this.#iterations, 32, 'sha256');
    const stored = createHash('sha256').update(hmac(salted, 'Client Key')).digest();
    const signature = hmac(stored, exchange);
    const key = Buffer.from(proof, 'base64').map((byte, at) => byte ^ (signature[at] ?? 0));
    if (!createHash('sha256').update(key).digest().equals(stored)) return refused;
    const shown = hmac(hmac(salted, 'Server Key'), exchange).toString('base64');
    return { ...ok, conversationId: 1, done: true, payload: Buffer.from(`v=${shown}`) };
  }
}

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
 * A **protocol stand-in**: it frames messages, takes logins and `updateUser`, and answers the rest as its script says. It is
 * no database, and proves nothing about MongoDB: what is tested with it is this side alone. MongoDB's own driver takes it for
 * a server (`driver.test.ts`), so that its framing and its half of the login are not ours alone.
 */
export async function startStandIn(
  later: Later,
  script: Script = () => undefined,
  { iterations = 15_000, drips = false, users = [] }: StandInOptions = {},
): Promise<StandIn> {
  const passwords = new Map([[known.user, known.password], ...users]);
  const commands: Document[] = [];
  const sockets = new Set<TLSSocket>();
  const change = (user: string, password: string): Document => {
    if (!passwords.has(user)) return { ok: 0, code: 11, errmsg: 'there is no such user' };
    passwords.set(user, password);
    return ok;
  };
  const server = createServer(await serverKey(), (socket) => {
    const exchange = new Exchange(passwords, iterations);
    const usual = (command: Document): Answer => {
      const payload = Buffer.from((command['payload'] as Uint8Array | undefined) ?? []).toString();
      if (command['hello'] === 1) return hello(100);
      if (command['saslStart'] === 1) return exchange.start(payload);
      if (command['saslContinue'] === 1) return exchange.finish(payload);
      if (typeof command['updateUser'] === 'string') return change(command['updateUser'], String(command['pwd']));
      return ok;
    };
    let bytes: Buffer = Buffer.alloc(0);
    let answers = 0;
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const read = readMessage(bytes);
      if (read.kind !== 'message') return;
      const id = bytes.readInt32LE(4);
      bytes = bytes.subarray(read.length);
      commands.push(read.document);
      const scripted = script(read.document);
      const answer = scripted === undefined ? usual(read.document) : scripted;
      if (answer === null) return socket.destroy();
      if (answer === 'silence') return;
      if (answer instanceof Uint8Array) return void socket.write(answer);
      answers += 1;
      const message = writeMessage(answers, answer);
      message.writeInt32LE(id, 8);
      if (drips) for (const byte of message) socket.write(Buffer.from([byte]));
      else socket.write(message);
    });
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  later(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const address = server.address();
  return {
    port: address !== null && typeof address === 'object' ? address.port : 0,
    passwords,
    commands,
    names: () => commands.map((command) => Object.keys(command)[0] ?? ''),
  };
}
