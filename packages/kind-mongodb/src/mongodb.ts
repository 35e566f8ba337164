import type { KindTarget, SecretLimits, TargetKind } from '@sallyport/rotation';
import { MongoSession, sessionLabel } from './mongodb-session.ts';
import { databaseOf, openMongo } from './open-mongodb.ts';

const probeLabel = 'sallyport check';

const limits: SecretLimits = { minLength: 1, maxLength: 256, forbidden: '', significant: null };

/** Users of MongoDB with SCRAM-SHA-256. @see docs/rotation-targets.md, ADR 0016. */
export const mongodb: TargetKind = {
  description: {
    name: 'mongodb',
    title: 'MongoDB user',
    fence: { admin: 'none', own: 'none' },
    changes: 'password',
    triedAgainst: null,
    untried: 'written from the documentation: no MongoDB could be started where this was built',
    ownCaveat: 'A user whose password nobody knows needs a user with the action changePassword.',
  },
  serves: (target: KindTarget) => target.recordType === 'pamDatabase' && target.databaseType === 'mongodb',
  limits: () => limits,
  // Names of databases have no dot.
  accountName: (account) => `${databaseOf(account)}.${account.login}`,

  async connect(target, login, io, signal) {
    const opening = await openMongo(target, login, sessionLabel, io, signal);
    if (opening.kind !== 'open') return opening;
    return { kind: 'connected', session: new MongoSession(target, login, opening, io) };
  },

  async probe(target, login, io, signal) {
    const opening = await openMongo(target, login, probeLabel, io, signal);
    if (opening.kind !== 'open') return opening;
    opening.connection.close();
    return { kind: 'opens', address: opening.address };
  },
};
