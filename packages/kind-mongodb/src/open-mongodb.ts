import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { notOpened, openTls, serverWords, timedWork } from '@sallyport/kind-support';
import { PamError, productVersion } from '@sallyport/protocol';
import type { Credential, KindAccount, KindIo, KindTarget, NotOpened } from '@sallyport/rotation';
import type { Document } from 'bson';
import type { ZodType } from 'zod';
import { type MongoConnection, openMongoConnection } from './mongo-connection.ts';
import { type Hello, helloSchema, outcomeSchema, saslSchema } from './reply.ts';
import { firstMessage, isPlainPassword, mechanism, proveSecret } from './scram.ts';

/** Dial, TLS and login together; a dial alone may take 5 s. */
const loginWithinMs = 12_000;
const askWithinMs = 10_000;
const nonceBytes = 24;
const authenticationFailed = 18;
/** The first version with SCRAM-SHA-256: 4.0. */
const leastWireVersion = 7;

export interface MongoLogin {
  readonly account: KindAccount;
  readonly credential: Credential;
}
export interface OpenMongo {
  readonly kind: 'open';
  readonly connection: MongoConnection;
  readonly address: string;
}
export interface MongoPlace {
  readonly host: string;
  readonly port: number;
}

/** The database that keeps the user. */
export const databaseOf = (account: KindAccount): string => account.database ?? 'admin';

const refused = (code: number, words: string): PamError =>
  new PamError('PAM_TARGET_RESET', `${code} ${serverWords(words, [])}`, { detail: { refusal: code } });

/** The code with which the server refused a command; null for whatever else went wrong. */
export function refusalOf(reason: unknown): number | null {
  const code = reason instanceof PamError ? reason.detail['refusal'] : undefined;
  return typeof code === 'number' ? code : null;
}

/**
 * Sends one command and reads its answer by `schema`.
 *
 * @throws PamError PAM_TARGET_RESET when the server refused it (`refusalOf`), did not answer, or not in that form.
 */
export async function askMongo<T>(
  connection: MongoConnection,
  database: string,
  command: Document,
  schema: ZodType<T>,
  signal: AbortSignal,
): Promise<T> {
  const reply = await connection.ask(database, command, { withinMs: askWithinMs, signal });
  if (reply.kind === 'lost') throw new PamError('PAM_TARGET_RESET', reply.why);
  const outcome = outcomeSchema.safeParse(reply.document);
  if (outcome.success && outcome.data.ok !== 1)
    throw refused(outcome.data.code ?? 0, outcome.data.errmsg ?? 'the server refused it');
  const read = schema.safeParse(reply.document);
  if (outcome.success && read.success) return read.data;
  connection.close();
  throw new PamError('PAM_TARGET_RESET', 'the server answered what was not asked');
}

/** @param user - the server is asked how this one logs in. */
export function sayHello(
  connection: MongoConnection,
  label: string,
  user: string | null,
  signal: AbortSignal,
): Promise<Hello> {
  const client = {
    application: { name: label },
    driver: { name: 'sallyport', version: productVersion },
    os: { type: process.platform },
  };
  const command = { hello: 1, ...(user === null ? {} : { saslSupportedMechs: user }), client };
  return askMongo(connection, 'admin', command, helloSchema, signal);
}

/** Dials and speaks TLS, which compares the key; then `work` has the connection. A failure of either closes it. */
export async function reachMongo<T>(
  target: KindTarget,
  io: KindIo,
  signal: AbortSignal,
  work: (connection: MongoConnection, address: string, signal: AbortSignal) => Promise<T>,
  replica?: MongoPlace,
): Promise<T | NotOpened> {
  if (!target.useTls)
    return { kind: 'unknown', message: 'a password is never sent without TLS: switch it on in the record' };
  const { host, port } = replica ?? target;
  let dialled: Duplex | null = null;
  let connection: MongoConnection | null = null;
  try {
    return await timedWork(io, loginWithinMs, signal, async (limit) => {
      const raw = await io.dial(host, port, limit);
      dialled = raw;
      const address = raw instanceof Socket ? (raw.remoteAddress ?? host) : host;
      const stream = await openTls(raw, host, io, limit, replica);
      connection = openMongoConnection(stream, io);
      return await work(connection, address, limit);
    });
  } catch (reason) {
    (connection as MongoConnection | null)?.close();
    (dialled as Duplex | null)?.destroy();
    return notOpened(reason, connection !== null, []);
  }
}

/**
 * Dials, speaks TLS, and logs in once.
 *
 * @param label - name of the application, as the server's operators see it.
 */
export async function openMongo(
  target: KindTarget,
  login: MongoLogin,
  label: string,
  io: KindIo,
  signal: AbortSignal,
): Promise<OpenMongo | NotOpened> {
  const { account, credential } = login;
  if (credential.kind !== 'password') return { kind: 'unknown', message: 'MongoDB takes passwords only' };
  const password = credential.password.reveal();
  if (password === '') return { kind: 'refused', message: 'an empty password opens nothing' };
  if (!isPlainPassword(password))
    return { kind: 'unknown', message: 'only passwords of printable ASCII are the same for every client' };
  if (account.login === '' || /\0/.test(account.login + databaseOf(account)))
    return { kind: 'unknown', message: 'no user can have this name' };
  return reachMongo(target, io, signal, async (connection, address, limit) => {
    const { maxWireVersion, saslSupportedMechs } = await sayHello(
      connection,
      label,
      `${databaseOf(account)}.${account.login}`,
      limit,
    );
    if (maxWireVersion < leastWireVersion)
      throw new PamError('PAM_TARGET_RESET', `the server is older than 4.0 and does not know ${mechanism}`);
    if (saslSupportedMechs !== undefined && !saslSupportedMechs.includes(mechanism))
      throw new PamError('PAM_TARGET_RESET', `the user does not log in with ${mechanism}`);
    const refusal = await logIn(connection, account, password, limit);
    if (refusal === null) return { kind: 'open', connection, address };
    connection.close();
    return refusal;
  });
}

async function logIn(
  connection: MongoConnection,
  account: KindAccount,
  password: string,
  signal: AbortSignal,
): Promise<NotOpened | null> {
  const database = databaseOf(account);
  const ask = (command: Document) => askMongo(connection, database, command, saslSchema, signal);
  const nonce = randomBytes(nonceBytes).toString('base64');
  const { bare, message } = firstMessage(account.login, nonce);
  try {
    const first = await ask({
      saslStart: 1,
      mechanism,
      payload: Buffer.from(message),
      options: { skipEmptyExchange: true },
    });
    const proof = await proveSecret(password, bare, nonce, Buffer.from(first.payload).toString('latin1'));
    if (proof === null) throw new PamError('PAM_TARGET_RESET', 'the server does not know how to ask for a password');
    const { conversationId } = first;
    const last = await ask({ saslContinue: 1, conversationId, payload: Buffer.from(proof.message) });
    if (!proof.isServer(Buffer.from(last.payload).toString('latin1')))
      throw new PamError('PAM_TARGET_RESET', 'the server does not know the password itself');
    // Servers before 4.4 have one more, empty exchange.
    const { done } = last.done ? last : await ask({ saslContinue: 1, conversationId, payload: Buffer.alloc(0) });
    if (!done) throw new PamError('PAM_TARGET_RESET', 'the server does not come to an end with the login');
    return null;
  } catch (reason) {
    if (refusalOf(reason) === authenticationFailed)
      return { kind: 'refused', message: 'the server refused the password' };
    throw reason;
  }
}
