import type { Credential, KindAccount, KindIo, KindTarget, NotOpened, Secret } from '@sallyport/rotation';
import { type Endpoint, askWithinMs, reachDirectory } from './ldap-reach.ts';
import type { LdapResult } from './ldap-answer.ts';
import type { AskLimits, LdapConnection, LdapReply } from './ldap-connection.ts';
import type { LdapControl } from './ldap-request.ts';

/** What differs between directories at a login. */
export interface LoginDialect {
  /** The name to bind with, or null when the account has none here. */
  bindName(target: KindTarget, account: KindAccount): string | null;
  readonly controls: readonly LdapControl[];
  /** Null: it opened. */
  readLogin(result: LdapResult, secrets: readonly Secret[]): NotOpened | null;
}
export interface DirectoryLogin {
  readonly account: KindAccount;
  readonly credential: Credential;
}
export interface OpenDirectory {
  readonly kind: 'open';
  readonly connection: LdapConnection;
  readonly address: string;
  readonly bindName: string;
  readonly password: Secret;
}

/** One bind on a connection that stands. */
export async function bind(
  connection: LdapConnection,
  dialect: LoginDialect,
  name: string,
  password: Secret,
  limits: AskLimits,
): Promise<NotOpened | null> {
  const request = { kind: 'bind', name, password: password.reveal(), controls: dialect.controls } as const;
  const reply: LdapReply = await connection.ask(request, limits);
  // The server may have judged it, and counted it.
  if (reply.kind === 'lost') return { kind: 'unknown', message: reply.why };
  return dialect.readLogin(reply.result, [password]);
}

/**
 * Reaches the directory and logs in once. A name or password that is empty is refused here: a server would take it for
 * an anonymous login and say that it opened (RFC 4513 section 5.1.2).
 */
export async function logIn(
  dialect: LoginDialect,
  target: KindTarget,
  login: DirectoryLogin,
  io: KindIo,
  signal: AbortSignal,
  replica?: Endpoint,
): Promise<OpenDirectory | NotOpened> {
  const bindName = dialect.bindName(target, login.account);
  if (login.credential.kind !== 'password') return { kind: 'unknown', message: 'a directory login needs a password' };
  const { password } = login.credential;
  if (bindName === null || bindName === '')
    return { kind: 'unknown', message: 'the record names no distinguished name to log in with' };
  if (password.reveal() === '') return { kind: 'refused', message: 'an empty password opens nothing' };
  const reached = await reachDirectory(target, io, signal, replica);
  if (reached.kind !== 'reached') return reached;
  const { connection, address } = reached;
  const failed = await bind(connection, dialect, bindName, password, { withinMs: askWithinMs, signal });
  if (failed === null) return { kind: 'open', connection, address, bindName, password };
  connection.close();
  return failed;
}
