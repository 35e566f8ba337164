import type { KindTarget, SecretLimits, TargetKind } from '@sallyport/rotation';
import { accountHost, showAccount } from './account-host.ts';
import { MysqlSession } from './mysql-session.ts';
import { openMysql } from './open-mysql.ts';

const limits: SecretLimits = { minLength: 1, maxLength: 256, forbidden: '', significant: null };

/** Accounts of MySQL and MariaDB. @see docs/rotation-targets.md */
export const mysql: TargetKind = {
  description: {
    name: 'mysql',
    title: 'MySQL or MariaDB account',
    fence: { admin: 'evict', own: 'evict' },
    changes: 'password',
    triedAgainst: 'MariaDB 10.11.19; MySQL by its documentation only',
    untried: null,
    ownCaveat:
      'If a write is lost and no stored version opens the account, somebody with CREATE USER has to set a password by hand.',
  },
  serves: (target: KindTarget) =>
    target.recordType === 'pamDatabase' && ['mysql', 'mariadb'].includes(target.databaseType ?? ''),
  limits: () => limits,
  accountName: (account) => showAccount(accountHost(account)),
  async connect(target, login, io, signal) {
    const opening = await openMysql(target, login, io, signal);
    if (opening.kind !== 'open') return opening;
    return { kind: 'connected', session: new MysqlSession(target, login, opening, io) };
  },
  async probe(target, login, io, signal) {
    const opening = await openMysql(target, login, io, signal);
    if (opening.kind !== 'open') return opening;
    opening.connection.close();
    const [meant, met] = [accountHost(login.account), opening.account].map(showAccount);
    if (meant === met) return { kind: 'opens', address: opening.address };
    return {
      kind: 'unknown',
      message: `from here this login leads to ${met}: name the host part in the record`.slice(0, 200),
    };
  },
};
