import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { notOpened, openTls, serverWords, timedWork } from '@sallyport/kind-support';
import type { Credential, KindAccount, KindIo, KindTarget, NotOpened } from '@sallyport/rotation';
import { RedisConnection } from './redis-connection.ts';
import type { Reply } from './reply.ts';

/** Dial, TLS and login together; a dial alone may take 5 s. */
const loginWithinMs = 12_000;
const longestName = 512;

export interface RedisLogin {
  readonly account: KindAccount;
  readonly credential: Credential;
}
/** Where to: the target itself, or a replica of it, which has a key of its own. */
export interface RedisPlace {
  readonly host: string;
  readonly port: number;
  readonly isReplica: boolean;
}
export interface OpenRedis {
  readonly kind: 'open';
  readonly connection: RedisConnection;
  readonly address: string;
}

/** Redis takes any name without white space (of C) and zero bytes. */
export function canBeUser(login: string): boolean {
  return login !== '' && Buffer.byteLength(login) <= longestName && !/[\0\t-\r ]/.test(login);
}

/** Dials, speaks TLS where the record wants it, and logs in once. Redis takes passwords in clear only. */
export async function openRedis(
  target: KindTarget,
  login: RedisLogin,
  io: KindIo,
  signal: AbortSignal,
  place: RedisPlace = { host: target.host, port: target.port, isReplica: false },
): Promise<OpenRedis | NotOpened> {
  const { credential } = login;
  if (credential.kind !== 'password') return { kind: 'unknown', message: 'Redis takes passwords only' };
  if (!canBeUser(login.account.login)) return { kind: 'unknown', message: 'no user can have this name' };
  if (target.identity !== null && !target.useTls)
    return { kind: 'unknown', message: 'the key of the server is pinned, but TLS is off in the record' };
  if (!target.useTls && target.custom['redisClearText'] !== 'yes')
    return { kind: 'unknown', message: 'Redis wants the password in clear, and TLS is off in the record: not sent' };
  let dialled: Duplex | null = null;
  let isShown = false;
  try {
    return await timedWork(io, loginWithinMs, signal, async (limit) => {
      dialled = await io.dial(place.host, place.port, limit);
      const address = dialled instanceof Socket ? (dialled.remoteAddress ?? place.host) : place.host;
      const at = place.isReplica ? { host: place.host, port: place.port } : undefined;
      const stream = target.useTls ? await openTls(dialled, place.host, io, limit, at) : dialled;
      const connection = new RedisConnection(stream);
      limit.addEventListener('abort', () => connection.destroy(), { once: true });
      isShown = true;
      const refusal = await logIn(login.account.login, credential.password.reveal(), connection);
      if (refusal === null) return { kind: 'open', connection, address };
      connection.destroy();
      return { ...refusal, message: serverWords(refusal.message, [credential.password]) };
    });
  } catch (reason) {
    (dialled as Duplex | null)?.destroy();
    return notOpened(reason, isShown, [credential.password]);
  }
}

async function logIn(login: string, password: string, connection: RedisConnection): Promise<NotOpened | null> {
  // A connection is the user `default` from its beginning where that one needs no password: then any opens it.
  if (login === 'default' && !isError(await connection.askOne('PING'), 'NOAUTH'))
    return { kind: 'unknown', message: 'the server asks for no password: nothing can be verified' };
  const answer = await connection.askOne('AUTH', login, password);
  if (answer.kind === 'text' && answer.text === 'OK') return null;
  if (isError(answer, 'WRONGPASS')) return { kind: 'refused', message: 'the server refused the password' };
  return { kind: 'unknown', message: answer.kind === 'error' ? answer.text : 'the server did not say yes or no' };
}

/** Is it an error that begins with this word? */
export function isError(reply: Reply | undefined, word: string): boolean {
  return reply?.kind === 'error' && reply.text.split(' ', 1)[0] === word;
}
