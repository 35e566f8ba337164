import type { AccountHost } from './account-host.ts';
import type { LoginMethod } from './login-method.ts';
import { nativeHash } from './login-method.ts';

/** As a name: whatever the SQL mode, only its own quote is doubled. */
const quoteName = (text: string): string => `\`${text.replaceAll('`', '``')}\``;
/** As a text, in sessions that were told NO_BACKSLASH_ESCAPES. */
export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;

export const quoteAccount = ({ user, host }: AccountHost): string => `${quoteName(user)}@${quoteName(host)}`;

/** Said once in a session: quoting without backslashes; our statements are in no log of slow ones. */
export const sessionText = "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', long_query_time = 3600";

export interface AccountWrite {
  readonly account: AccountHost;
  readonly isOwn: boolean;
  readonly isMariaDb: boolean;
  /** How the account logs in; it stays. */
  readonly method: LoginMethod;
  readonly password: string;
  /** What opens the account now, where it changes itself; null when nobody knows. */
  readonly old: string | null;
  /** Whether the server judges passwords, for which it has to see them. */
  readonly isJudged: boolean;
  readonly limitMs: number;
}

/**
 * The statement that changes a password.
 *
 * MariaDB gets the hash, so that no log has the password. A server that judges passwords takes no hash; there it is
 * `SET PASSWORD`, of which the binary log keeps the hash (of `ALTER USER` it keeps the password). MySQL replaces the
 * password in all of its logs itself, and its hash of today cannot be made without it.
 */
export function writeText(write: AccountWrite): string {
  return write.isMariaDb ? mariaDbText(write) : mysqlText(write);
}

function mariaDbText({ account, isOwn, password, isJudged, limitMs }: AccountWrite): string {
  const limit = `SET STATEMENT max_statement_time = ${(Math.max(1, Math.floor(limitMs)) / 1_000).toFixed(3)} FOR`;
  const forWhom = isOwn ? '' : ` FOR ${quoteAccount(account)}`;
  if (isJudged) return `${limit} SET PASSWORD${forWhom} = PASSWORD(${quoteText(password)})`;
  const hash = quoteText(nativeHash(password));
  if (isOwn) return `${limit} SET PASSWORD = ${hash}`;
  return `${limit} ALTER USER ${quoteAccount(account)} IDENTIFIED VIA mysql_native_password USING ${hash}`;
}

function mysqlText({ account, isOwn, method, password, old }: AccountWrite): string {
  const next = quoteText(password);
  if (isOwn) return `SET PASSWORD = ${next}${old === null ? '' : ` REPLACE ${quoteText(old)}`}`;
  return `ALTER USER ${quoteAccount(account)} IDENTIFIED WITH ${method} BY ${next}`;
}
