import type { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { GuardedStream, notOpened, openTls, timedWork } from '@sallyport/kind-support';
import { PamError } from '@sallyport/protocol';
import type { Credential, KindAccount, KindIo, KindTarget, NotOpened } from '@sallyport/rotation';
import { Client } from 'pg';
import { isDatabaseError, type LoginProgress, loginAnswer } from './login-answer.ts';
import { messageFilter } from './message-filter.ts';

/** Dial, TLS and login together; a dial alone may take 5 s. */
const loginWithinMs = 12_000;
const mostBytes = 4 * 1024 * 1024;
/** PostgreSQL cuts a longer name, in bytes, and would log in somebody else. */
const longestName = 63;
/** SSLRequest of the protocol, section 55.7. */
const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

export interface PostgresLogin {
  readonly account: KindAccount;
  readonly credential: Credential;
}
/** Where to: the target itself, or a replica of it, which has a key of its own. */
export interface PostgresPlace {
  readonly host: string;
  readonly port: number;
  readonly isReplica: boolean;
}
export interface OpenPostgres {
  readonly kind: 'open';
  readonly client: Client;
  readonly stream: GuardedStream;
  readonly address: string;
}
/** `opens`: the credential is right, but the session did not come to be. */
export type PostgresOpening = OpenPostgres | NotOpened | { readonly kind: 'opens'; readonly address: string };

function canBeRole(login: string): boolean {
  return login !== '' && !login.includes('\0') && Buffer.byteLength(login) <= longestName;
}

/**
 * Dials, speaks TLS where the record wants it, and logs in once.
 *
 * @param label - `application_name`: what `evict` knows our sessions by.
 */
export async function openPostgres(
  target: KindTarget,
  login: PostgresLogin,
  label: string,
  io: KindIo,
  signal: AbortSignal,
  place: PostgresPlace = { host: target.host, port: target.port, isReplica: false },
): Promise<PostgresOpening> {
  const { credential } = login;
  if (credential.kind !== 'password') return { kind: 'unknown', message: 'PostgreSQL takes passwords only' };
  if (!canBeRole(login.account.login)) return { kind: 'unknown', message: 'no role can have this name' };
  if (target.identity !== null && !target.useTls)
    return { kind: 'unknown', message: 'the key of the server is pinned, but TLS is off in the record' };
  let dialled: Duplex | null = null;
  const progress: LoginProgress = { isAsked: false, isAuthenticated: false };
  try {
    return await timedWork(io, loginWithinMs, signal, async (limit) => {
      dialled = await io.dial(place.host, place.port, limit);
      const address = dialled instanceof Socket ? (dialled.remoteAddress ?? place.host) : place.host;
      const stream = target.useTls ? await startTls(dialled, place, io, limit) : dialled;
      const guarded = new GuardedStream(stream, mostBytes, messageFilter());
      limit.addEventListener('abort', () => guarded.destroy(), { once: true });
      return await logIn(target, login, label, guarded, address, progress);
    });
  } catch (reason) {
    (dialled as Duplex | null)?.destroy();
    return notOpened(reason, progress.isAsked, [credential.password]);
  }
}

async function startTls(raw: Duplex, place: PostgresPlace, io: KindIo, signal: AbortSignal): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onEnd = (): void => reject(new PamError('PAM_TARGET_RESET', 'the server closed the connection'));
  const onAbort = (): void => {
    raw.destroy();
    reject(signal.reason);
  };
  const onReadable = (): void => {
    if (raw.readableLength > 0) resolve();
  };
  raw.on('readable', onReadable).once('end', onEnd).once('close', onEnd).once('error', onEnd);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    raw.write(sslRequest);
    await promise;
  } finally {
    raw.off('readable', onReadable).off('end', onEnd).off('close', onEnd).off('error', onEnd);
    signal.removeEventListener('abort', onAbort);
  }
  const answer = raw.read(1) as Buffer | null;
  // Bytes behind the answer would be taken for a part of the TLS stream that nobody signed (CVE-2021-23222).
  if (answer?.toString('latin1') !== 'S' || raw.readableLength > 0)
    throw new PamError('PAM_TARGET_RESET', 'the server does not speak TLS');
  const at = place.isReplica ? { host: place.host, port: place.port } : undefined;
  return openTls(raw, place.host, io, signal, at);
}

/** pg sees the password only when the server asks for it, and never in a way that shows it to who listens. */
function passwordFor(credential: Credential, isTls: boolean, clear: () => boolean): () => string {
  return () => {
    if (credential.kind !== 'password') return '';
    if (clear() && !isTls)
      throw new PamError('PAM_TARGET_RESET', 'the server wants the password in clear, without TLS: it was not sent');
    return credential.password.reveal();
  };
}

async function logIn(
  target: KindTarget,
  { account, credential }: PostgresLogin,
  label: string,
  stream: GuardedStream,
  address: string,
  progress: LoginProgress,
): Promise<PostgresOpening> {
  let isClear = false;
  const client = new Client({
    host: target.host,
    port: target.port,
    user: account.login,
    database: account.database ?? target.custom['database'] ?? 'postgres',
    password: passwordFor(credential, target.useTls, () => isClear),
    application_name: label,
    ssl: false,
    stream: () => stream,
  });
  client.on('error', () => stream.destroy());
  const { connection } = client as unknown as { readonly connection: EventEmitter };
  for (const event of ['authenticationSASL', 'authenticationMD5Password', 'authenticationCleartextPassword'])
    connection.on(event, () => {
      progress.isAsked = true;
      isClear = event === 'authenticationCleartextPassword';
    });
  connection.on('authenticationOk', () => {
    progress.isAuthenticated = true;
  });
  try {
    await client.connect();
  } catch (reason) {
    stream.destroy();
    if (isDatabaseError(reason)) {
      const answer = loginAnswer(reason, progress);
      return answer.kind === 'opens' ? { kind: 'opens', address } : answer;
    }
    throw PamError.from(reason, 'PAM_TARGET_RESET', 'the login was broken off');
  }
  if (progress.isAsked) return { kind: 'open', client, stream, address };
  stream.destroy();
  return {
    kind: 'unknown',
    message: 'the server asks for no password from here (pg_hba.conf): nothing can be verified',
  };
}
