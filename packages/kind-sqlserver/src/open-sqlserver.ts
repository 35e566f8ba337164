import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { GuardedStream, identifyServer, notOpened, timedWork } from '@sallyport/kind-support';
import { PamError } from '@sallyport/protocol';
import type { Credential, KindAccount, KindIo, KindTarget, NotOpened } from '@sallyport/rotation';
import { Connection } from 'tedious';
import { loginAnswer } from './login-answer.ts';

/** Dial, TLS and login together; a dial alone may take 5 s. */
const loginWithinMs = 12_000;
/** The library's own limit lies behind ours, which is the one that counts. */
const libraryLimitMs = 60_000;
const mostBytes = 1024 * 1024;
/** Greeting and handshake. The library puts a greeting together anew for each packet: many small ones cost their square. */
const mostClearBytes = 64 * 1024;
/** `sysname`, in UTF-16. */
const longestName = 128;

export interface SqlServerLogin {
  readonly account: KindAccount;
  readonly credential: Credential;
}
export interface OpenSqlServer {
  readonly kind: 'open';
  readonly connection: Connection;
  readonly stream: GuardedStream;
  readonly address: string;
}

/** Windows accounts have a backslash in their names; they are not logins of SQL Server. */
function canBeLogin(login: string): boolean {
  return login !== '' && login.length <= longestName && !/[\0\\]/.test(login);
}

/**
 * Dials, speaks TLS inside TDS, compares the server's key, and logs in once.
 *
 * @param label - the name of the program, as the server shows it to its operators.
 */
export async function openSqlServer(
  target: KindTarget,
  login: SqlServerLogin,
  label: string,
  io: KindIo,
  signal: AbortSignal,
): Promise<OpenSqlServer | NotOpened> {
  const { credential } = login;
  if (credential.kind !== 'password') return { kind: 'unknown', message: 'SQL Server takes passwords only' };
  if (!canBeLogin(login.account.login)) return { kind: 'unknown', message: 'no SQL login can have this name' };
  if (!target.useTls)
    return { kind: 'unknown', message: 'a password is never sent without TLS: switch it on in the record' };
  let dialled: Duplex | null = null;
  try {
    return await timedWork(io, loginWithinMs, signal, async (limit) => {
      dialled = await io.dial(target.host, target.port, limit);
      return await logIn(target, login, label, io, dialled, limit);
    });
  } catch (reason) {
    (dialled as Duplex | null)?.destroy();
    return notOpened(reason, dialled !== null, [credential.password]);
  }
}

async function logIn(
  target: KindTarget,
  { account, credential }: SqlServerLogin,
  label: string,
  io: KindIo,
  dialled: Duplex,
  signal: AbortSignal,
): Promise<OpenSqlServer | NotOpened> {
  const address = dialled instanceof Socket ? (dialled.remoteAddress ?? target.host) : target.host;
  let clearBytes: number | null = 0;
  const stream = new GuardedStream(dialled, mostBytes, (chunk) => {
    if (clearBytes === null) return chunk;
    clearBytes += chunk.byteLength;
    if (clearBytes > mostClearBytes) throw new PamError('PAM_TARGET_RESET', 'the server does not come to an end');
    return chunk;
  });
  let isTaken = false;
  const connection = new Connection({
    server: target.host,
    authentication: {
      type: 'default',
      options: {
        userName: account.login,
        password: credential.kind === 'password' ? credential.password.reveal() : '',
      },
    },
    options: {
      port: target.port,
      // Every login has it. A database of the record that is not there would look like a login that fails.
      database: 'master',
      appName: label,
      encrypt: true,
      // The key is compared below; certificates of databases are mostly signed by nobody a gateway knows.
      trustServerCertificate: true,
      cryptoCredentialsDetails: { minVersion: 'TLSv1.2' },
      connector: async () => {
        // A server may send its clients elsewhere (routing): what was dialled through the policy is the only way.
        if (isTaken) throw new PamError('PAM_TARGET_RESET', 'the server sends its clients to another one');
        isTaken = true;
        return stream as unknown as Socket;
      },
      connectTimeout: libraryLimitMs,
      requestTimeout: 0,
      maxRetriesOnTransientErrors: 0,
      rowCollectionOnRequestCompletion: true,
      useColumnNames: true,
    },
  });
  const numbers: number[] = [];
  let stranger: PamError | null = null;
  connection.on('error', () => stream.destroy());
  // While it logs in, the library waits for an end or an error, and takes no notice of a stream that is merely gone.
  stream.once('close', () => connection.close());
  connection.on('errorMessage', ({ number }: { readonly number: number }) => numbers.push(number));
  connection.on('secure', (socket: TLSSocket) => {
    clearBytes = null;
    try {
      identifyServer(socket, io);
    } catch (reason) {
      // Inside an event of the library nothing may be thrown. What it writes to this stream from here on goes nowhere.
      stranger = PamError.from(reason, 'PAM_TARGET_IDENTITY', 'the key of the server was not taken');
      stream.destroy();
    }
  });
  const onAbort = (): void => connection.close();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      connection.connect((error) => (error === undefined || error === null ? resolve() : reject(error)));
    });
  } catch (reason) {
    connection.close();
    stream.destroy();
    if (stranger !== null) throw stranger as PamError;
    signal.throwIfAborted();
    if (numbers.length > 0) return loginAnswer(numbers);
    throw PamError.from(reason, 'PAM_TARGET_RESET', 'the login was broken off, or there is no TLS 1.2 or newer');
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  return { kind: 'open', connection, stream, address };
}
