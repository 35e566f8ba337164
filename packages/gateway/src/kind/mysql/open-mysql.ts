import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { notOpened, openTls, serverWords, timedWork } from '@sallyport/kind-support';
import { PamError } from '@sallyport/protocol';
import type { Credential, KindAccount, KindIo, KindTarget, NotOpened } from '@sallyport/rotation';
import { type AccountHost, accountHost } from './account-host.ts';
import { type Greeting, loginRequest, readGreeting, tlsRequest } from './greeting.ts';
import { loginAnswer } from './login-answer.ts';
import { answerTo, isLoginMethod, type LoginMethod } from './login-method.ts';
import { MysqlConnection, readError, type ServerError } from './mysql-connection.ts';
import { malformed, PacketFields } from './packet-fields.ts';

/** Dial, TLS and login together; a dial alone may take 5 s. */
const loginWithinMs = 12_000;
/** A server cuts a longer name, in characters, and would log in somebody else. */
const longestName = { mysql: 32, mariaDb: 128 };
const okPacket = 0x00;
const moreData = 0x01;
const changeMethod = 0xfe;
const isRemembered = 0x03;
const wantsPassword = 0x04;
/** A login has two at most: another method, and the password that a server has not remembered. */
const mostRounds = 4;

export interface MysqlLogin {
  readonly account: KindAccount;
  readonly credential: Credential;
}

/** Where to: the target itself, or a replica of it, which has a key of its own. */
export interface MysqlPlace {
  readonly host: string;
  readonly port: number;
  readonly isReplica: boolean;
}

export interface OpenMysql {
  readonly kind: 'open';
  readonly connection: MysqlConnection;
  readonly address: string;
  readonly isMariaDb: boolean;
  readonly isTls: boolean;
  readonly method: LoginMethod;
  /** The account that the name and the password led to; it need not be the one that was meant. */
  readonly account: AccountHost;
}
export type MysqlOpening = OpenMysql | NotOpened;

/** Dials, speaks TLS where the record wants it, and logs in once. */
export async function openMysql(
  target: KindTarget,
  login: MysqlLogin,
  io: KindIo,
  signal: AbortSignal,
  place: MysqlPlace = { host: target.host, port: target.port, isReplica: false },
): Promise<MysqlOpening> {
  const { credential } = login;
  const { user } = accountHost(login.account);
  if (credential.kind !== 'password') return { kind: 'unknown', message: 'MySQL takes passwords only' };
  const password = credential.password.reveal();
  // Without a password a server is asked for an account that has none, and may let us in.
  if (password === '' || user === '' || user.includes('\0'))
    return { kind: 'unknown', message: 'no account with a password can have this name and password' };
  if (target.identity !== null && !target.useTls)
    return { kind: 'unknown', message: 'the key of the server is pinned, but TLS is off in the record' };
  let dialled: Duplex | null = null;
  let isShown = false;
  try {
    return await timedWork(io, loginWithinMs, signal, async (limit) => {
      dialled = await io.dial(place.host, place.port, limit);
      const address = dialled instanceof Socket ? (dialled.remoteAddress ?? place.host) : place.host;
      const plain = new MysqlConnection(dialled);
      limit.addEventListener('abort', () => plain.destroy(late()), { once: true });
      const first = await plain.receive();
      const refusal = readError(first);
      if (refusal !== null) return refuse(plain, refusal);
      const greeting = readGreeting(first);
      if (user.length > (greeting.isMariaDb ? longestName.mariaDb : longestName.mysql)) {
        plain.destroy(malformed());
        return { kind: 'unknown', message: 'no account can have this name' };
      }
      const connection = target.useTls ? await startTls(plain, greeting, place, io, limit) : plain;
      limit.addEventListener('abort', () => connection.destroy(late()), { once: true });
      isShown = true;
      const answer = await logIn(connection, greeting, user, password, target.useTls);
      if (answer.kind === 'error') return refuse(connection, answer);
      return await settle(connection, greeting, address, target.useTls, answer.method);
    });
  } catch (reason) {
    (dialled as Duplex | null)?.destroy();
    return notOpened(reason, isShown, [credential.password]);
  }
}

const late = (): PamError => new PamError('PAM_TARGET_TIMEOUT', 'the target did not answer in time');

function refuse(connection: MysqlConnection, error: ServerError): NotOpened {
  connection.close();
  return loginAnswer(error);
}

async function startTls(
  plain: MysqlConnection,
  greeting: Greeting,
  place: MysqlPlace,
  io: KindIo,
  signal: AbortSignal,
): Promise<MysqlConnection> {
  if (!greeting.hasTls) throw new PamError('PAM_TARGET_RESET', 'the server does not speak TLS');
  plain.send(tlsRequest());
  // Bytes behind the greeting would be taken for a part of the TLS stream that nobody signed.
  const { stream, sequence } = plain.release();
  const at = place.isReplica ? { host: place.host, port: place.port } : undefined;
  return new MysqlConnection(await openTls(stream, place.host, io, signal, at), sequence);
}

type LoginReply = { readonly kind: 'ok'; readonly method: LoginMethod } | ServerError;

async function logIn(
  connection: MysqlConnection,
  greeting: Greeting,
  user: string,
  password: string,
  isTls: boolean,
): Promise<LoginReply> {
  let method: LoginMethod = isLoginMethod(greeting.plugin) ? greeting.plugin : 'mysql_native_password';
  connection.send(loginRequest(user, method, answerTo(method, password, greeting.challenge), isTls));
  for (let round = 0; round < mostRounds; round += 1) {
    const packet = await connection.receive();
    const error = readError(packet);
    if (error !== null) return error;
    const fields = new PacketFields(packet.subarray(1));
    switch (packet[0]) {
      case okPacket:
        return { kind: 'ok', method };
      case changeMethod: {
        method = methodOf(fields);
        connection.send(answerTo(method, password, fields.bytes(20)));
        break;
      }
      case moreData: {
        const wish = method === 'caching_sha2_password' ? fields.integer(1) : 0;
        if (wish === isRemembered) break;
        if (wish !== wantsPassword) throw malformed();
        if (!isTls)
          throw new PamError(
            'PAM_TARGET_RESET',
            'the server wants the password in clear, without TLS: it was not sent',
          );
        connection.send(Buffer.from(`${password}\0`, 'utf8'));
        break;
      }
      default:
        throw malformed();
    }
  }
  throw malformed();
}

function methodOf(fields: PacketFields): LoginMethod {
  // A server that names no method means the one of 1998, which shows the password.
  const plugin = fields.left === 0 ? 'mysql_old_password' : fields.zeroEnded().toString('latin1');
  if (isLoginMethod(plugin)) return plugin;
  const shown = serverWords(plugin, []).slice(0, 40);
  throw new PamError('PAM_TARGET_RESET', `the server wants the login method ${shown}, which is not answered`);
}

/** Who we are now. An expired account gets this far, and is told at its first question. */
async function settle(
  connection: MysqlConnection,
  greeting: Greeting,
  address: string,
  isTls: boolean,
  method: LoginMethod,
): Promise<MysqlOpening> {
  const reply = await connection.ask('SELECT CURRENT_USER()');
  if (reply.kind === 'error') return refuse(connection, reply);
  const current = reply.kind === 'rows' ? reply.rows[0]?.[0] : null;
  if (current === undefined || current === null) throw malformed();
  const at = current.lastIndexOf('@');
  const account = { user: current.slice(0, at), host: current.slice(at + 1).toLowerCase() };
  return { kind: 'open', connection, address, isMariaDb: greeting.isMariaDb, isTls, method, account };
}
