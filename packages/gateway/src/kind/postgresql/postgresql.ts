import type { KindTarget, SecretLimits, TargetKind } from '@sallyport/rotation';
import { openPostgres } from './open-postgres.ts';
import { PostgresSession, sessionLabel } from './postgres-session.ts';

const probeLabel = 'sallyport check';

const limits: SecretLimits = { minLength: 1, maxLength: 256, forbidden: '', significant: null };

/** Roles of PostgreSQL. @see docs/rotation-targets.md */
export const postgresql: TargetKind = {
  description: {
    name: 'postgresql',
    title: 'PostgreSQL role',
    fence: { admin: 'number', own: 'evict' },
    changes: 'password',
    triedAgainst: 'PostgreSQL 15.18',
    untried: null,
    ownCaveat:
      'If a write is lost and no stored version opens the role, a superuser or a role with CREATEROLE has to set a password by hand.',
  },
  serves: (target: KindTarget) =>
    target.recordType === 'pamDatabase' && ['postgresql', 'postgres'].includes(target.databaseType ?? ''),
  limits: () => limits,
  accountName: ({ login }) => login,

  async connect(target, login, io, signal) {
    const opening = await openPostgres(target, login, sessionLabel, io, signal);
    switch (opening.kind) {
      case 'open':
        return { kind: 'connected', session: new PostgresSession(target, login, opening, io) };
      case 'opens':
        return { kind: 'unknown', message: 'the password is right, but the server gave no session (rights, or room)' };
      default:
        return opening;
    }
  },

  async probe(target, login, io, signal) {
    const opening = await openPostgres(target, login, probeLabel, io, signal);
    if (opening.kind !== 'open') return opening;
    await new PostgresSession(target, login, opening, io).close();
    return { kind: 'opens', address: opening.address };
  },
};
