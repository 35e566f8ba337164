import type { AccountHost } from './account-host.ts';
import { isLoginMethod, type LoginMethod } from './login-method.ts';
import type { QueryReply, ServerError } from './mysql-connection.ts';
import type { OpenMysql } from './open-mysql.ts';
import { quoteText } from './write-text.ts';

export type Ask = (text: string) => Promise<QueryReply>;
type Rows = Extract<QueryReply, { kind: 'rows' }>['rows'];

/** What decides how, and whether, an account is changed. */
export interface AccountLook {
  readonly kind: 'seen';
  readonly isReadOnly: boolean;
  /** The server judges passwords. */
  readonly isJudged: boolean;
  /** It writes down every statement. */
  readonly isLogged: boolean;
  /** Every account of the name, and those without a name. Empty where the account looks at itself. */
  readonly rows: readonly AccountRow[];
  /** Null: it does not log in by a password that is changed here. */
  readonly method: LoginMethod | null;
  readonly isLocked: boolean;
  readonly isExpired: boolean;
}

interface AccountRow extends AccountHost {
  readonly plugin: string;
  readonly isLocked: boolean;
  readonly isExpired: boolean;
  /** Whether a login from our host could mean it. */
  readonly isMet: boolean;
}

const judgesText = {
  mariaDb: `SELECT COUNT(*) FROM information_schema.PLUGINS
    WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE'`,
  // MySQL is given every password in clear, judge or not.
  mysql: 'SELECT 0',
};

/** Whether a login from our host could mean the row. A netmask is taken to, without a look at its bits. */
const isMetText = "SUBSTRING_INDEX(USER(), '@', -1) LIKE Host OR INSTR(Host, '/') > 0";

const rowsText = {
  mariaDb: (user: string): string => `SELECT User, LOWER(Host), IF(JSON_EXISTS(Priv, '$.auth_or'), 'several',
      COALESCE(JSON_VALUE(Priv, '$.plugin'), '')), COALESCE(JSON_VALUE(Priv, '$.account_locked'), 0),
      COALESCE(JSON_VALUE(Priv, '$.password_last_changed') = 0, 0), ${isMetText}
    FROM mysql.global_priv
    WHERE User IN (${quoteText(user)}, '') AND NOT COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) LIMIT 256`,
  mysql: (user: string): string => `SELECT User, LOWER(Host), plugin, account_locked = 'Y', password_expired = 'Y',
      ${isMetText}
    FROM mysql.user WHERE User IN (${quoteText(user)}, '') LIMIT 256`,
};

const rowsIn = (reply: QueryReply | null): Rows => (reply?.kind === 'rows' ? reply.rows : []);
const isTrue = (value: string | null | undefined): boolean => value === '1' || value === 'true';

/**
 * Looks without changing anything.
 *
 * @returns the server's refusal where this login may not look. @throws PAM_TARGET_RESET
 */
export async function lookAtAccount(
  ask: Ask,
  open: Pick<OpenMysql, 'isMariaDb' | 'method'>,
  account: AccountHost,
  isOwn: boolean,
): Promise<AccountLook | ServerError> {
  const dialect = open.isMariaDb ? 'mariaDb' : 'mysql';
  const server = await ask(`SELECT @@GLOBAL.read_only, @@GLOBAL.general_log, (${judgesText[dialect]})`);
  if (server.kind === 'error') return server;
  const found = isOwn ? null : await ask(rowsText[dialect](account.user));
  if (found?.kind === 'error') return found;
  const [isReadOnly, isLogged, judges] = rowsIn(server)[0] ?? [];
  const rows = rowsIn(found).map(
    ([user, host, plugin, locked, expired, met]): AccountRow => ({
      user: user ?? '',
      host: host ?? '',
      plugin: plugin ?? '',
      isLocked: isTrue(locked),
      isExpired: isTrue(expired),
      isMet: isTrue(met),
    }),
  );
  const mine = rows.find(({ user, host }) => user === account.user && host === account.host);
  const plugin = isOwn ? open.method : (mine?.plugin ?? '');
  return {
    kind: 'seen',
    isReadOnly: isTrue(isReadOnly),
    isLogged: isTrue(isLogged),
    isJudged: Number(judges ?? 0) > 0,
    rows,
    method: isLoginMethod(plugin) ? plugin : null,
    isLocked: mine?.isLocked ?? false,
    isExpired: mine?.isExpired ?? false,
  };
}

/** Why a write is not even tried; null: it may be. */
export function whyNotWritten(look: AccountLook, { isMariaDb, isTls }: OpenMysql): string | null {
  if (look.isReadOnly) return 'the server is read-only';
  if (look.method === null) return 'there is no such account, or it logs in by no password that is changed here';
  if (isMariaDb && look.method !== 'mysql_native_password') return `the hash of ${look.method} cannot be made here`;
  const isClear = look.isJudged || !isMariaDb;
  if (isClear && !isTls) return 'this server has to be given the password itself, and TLS is off in the record';
  if (look.isJudged && look.isLogged) return 'general_log is on, and this server has to be given the password itself';
  return null;
}
