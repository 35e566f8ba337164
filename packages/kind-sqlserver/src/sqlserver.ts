import type { KindTarget, SecretLimits, TargetKind } from '@sallyport/rotation';
import { openSqlServer } from './open-sqlserver.ts';
import { SqlServerSession } from './sqlserver-session.ts';

const sessionLabel = 'sallyport rotation';
const probeLabel = 'sallyport check';

const limits: SecretLimits = { minLength: 1, maxLength: 128, forbidden: '\0', significant: null };

/** Logins of SQL Server with a password of their own. @see docs/rotation-targets.md, ADR 0016. */
export const sqlserver: TargetKind = {
  description: {
    name: 'sqlserver',
    title: 'SQL Server login',
    fence: { admin: 'number', own: 'compare' },
    changes: 'password',
    triedAgainst: null,
    untried: 'written from the documentation: no SQL Server could be started where this was built',
    ownCaveat: 'A login whose password nobody knows, or that is locked or expired, needs a login with ALTER ANY LOGIN.',
  },
  serves: (target: KindTarget) => target.recordType === 'pamDatabase' && target.databaseType === 'mssql',
  limits: () => limits,
  // Most servers do not tell upper from lower case in names; where one does, its two logins take turns.
  accountName: ({ login }) => login.toLowerCase(),

  async connect(target, login, io, signal) {
    const opening = await openSqlServer(target, login, sessionLabel, io, signal);
    if (opening.kind !== 'open') return opening;
    return { kind: 'connected', session: new SqlServerSession(login, opening, io) };
  },

  async probe(target, login, io, signal) {
    const opening = await openSqlServer(target, login, probeLabel, io, signal);
    if (opening.kind !== 'open') return opening;
    await new SqlServerSession(login, opening, io).close();
    return { kind: 'opens', address: opening.address };
  },
};
