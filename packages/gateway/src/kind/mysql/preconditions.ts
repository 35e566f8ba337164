import { randomBytes } from 'node:crypto';
import { serverWords } from '@sallyport/kind-support';
import type { Precondition } from '@sallyport/rotation';
import { type AccountHost, showAccount } from './account-host.ts';
import { type AccountLook, type Ask, lookAtAccount } from './look-at-account.ts';
import type { OpenMysql } from './open-mysql.ts';
import { quoteAccount, quoteText } from './write-text.ts';

/** Of a change of an account that is not there; what is said before is that nobody may change one. */
const onlyMissing = new Set([1396, 1133]);
const mostShown = 4;

const shown = (accounts: readonly AccountHost[]): string =>
  serverWords(accounts.slice(0, mostShown).map(showAccount).join(', '), []);

/** What a dry run looks at; nothing is changed. */
export async function preconditions(
  ask: Ask,
  open: OpenMysql,
  account: AccountHost,
  isOwn: boolean,
): Promise<readonly Precondition[]> {
  const look = await lookAtAccount(ask, open, account, isOwn);
  if (look.kind === 'error') {
    const table = open.isMariaDb ? 'mysql.global_priv' : 'mysql.user';
    const remedy = `GRANT SELECT ON ${table} to it: ${look.code} ${serverWords(look.message, [])}`;
    return [{ what: 'this login may look at accounts', holds: false, remedy }];
  }
  const server: Precondition[] = [
    {
      what: 'the server takes writes',
      holds: !look.isReadOnly,
      remedy: 'Name the primary in the record; a read-only server cannot change an account.',
    },
    {
      what: 'the password gets into no log and no open line',
      holds: !(look.isJudged && look.isLogged) && (open.isTls || (open.isMariaDb && !look.isJudged)),
      remedy: 'This server has to be given the password itself: switch TLS on in the record, and general_log off.',
    },
  ];
  if (isOwn) return [...server, leadsHere(open, account)];
  return [...server, ...aboutAccount(look, account), await mayChange(ask, look)];
}

function leadsHere(open: OpenMysql, account: AccountHost): Precondition {
  return {
    what: 'the login leads to the account of the record',
    holds: showAccount(open.account) === showAccount(account),
    remedy: `From here it leads to ${shown([open.account])}: name the host part in the login of the record.`,
  };
}

async function mayChange(ask: Ask, look: AccountLook): Promise<Precondition> {
  const nobody = quoteAccount({ user: `sallyport-${randomBytes(8).toString('hex')}`, host: '%' });
  const nothing = quoteText(randomBytes(24).toString('base64'));
  const text = look.isJudged
    ? `SET PASSWORD FOR ${nobody} = PASSWORD(${nothing})`
    : `ALTER USER ${nobody} ACCOUNT UNLOCK`;
  const reply = await ask(text);
  return {
    what: 'this login may change accounts',
    holds: reply.kind === 'error' && onlyMissing.has(reply.code),
    remedy: look.isJudged
      ? 'GRANT CREATE USER ON *.* to it, and UPDATE ON mysql.*: this server judges passwords.'
      : 'GRANT CREATE USER ON *.* to it.',
  };
}

function aboutAccount(look: AccountLook, account: AccountHost): readonly Precondition[] {
  const isMine = ({ user, host }: AccountHost): boolean => user === account.user && host === account.host;
  if (!look.rows.some(isMine)) {
    const others = look.rows.filter(({ user }) => user === account.user);
    const remedy = others.length === 0 ? 'Correct the login of the record.' : `Name one of these: ${shown(others)}.`;
    return [{ what: `the account ${shown([account])} exists`, holds: false, remedy }];
  }
  const isExact = !/[%_/]/.test(account.host);
  const rivals = look.rows.filter((row) => row.isMet && !isMine(row));
  return [
    {
      what: 'a login of this name leads to this account from here',
      holds: isExact || rivals.length === 0,
      remedy: `It could be ${shown(rivals)} as well: drop the one that is not used.`,
    },
    {
      what: 'the account logs in by a password that is changed here',
      holds: look.method !== null,
      remedy: 'ALTER USER … IDENTIFIED VIA mysql_native_password (MySQL: WITH caching_sha2_password).',
    },
    {
      what: 'the account is not locked',
      holds: !look.isLocked,
      remedy: 'ALTER USER … ACCOUNT UNLOCK, or take it out of rotation.',
    },
    { what: 'its password has not expired', holds: !look.isExpired, remedy: 'Set a password by hand first.' },
  ];
}
