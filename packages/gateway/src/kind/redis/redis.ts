import type { KindTarget, SecretLimits, TargetKind } from '@sallyport/rotation';
import { openRedis } from './open-redis.ts';
import { RedisSession } from './redis-session.ts';

const limits: SecretLimits = { minLength: 1, maxLength: 512, forbidden: '', significant: null };

/** Users of Redis (ACL), `default` among them. @see docs/rotation-targets.md */
export const redis: TargetKind = {
  description: {
    name: 'redis',
    title: 'Redis user (ACL)',
    fence: { admin: 'additive', own: 'additive' },
    changes: 'password',
    triedAgainst: 'Redis 7.0.15',
    untried: null,
    ownCaveat:
      'Only a user with +acl|setuser can change itself. If no stored version opens it, another administrator has to set a password by hand.',
  },
  serves: (target: KindTarget) => target.recordType === 'pamDatabase' && target.databaseType === 'redis',
  limits: () => limits,
  accountName: ({ login }) => login,

  async connect(target, login, io, signal) {
    const opening = await openRedis(target, login, io, signal);
    if (opening.kind !== 'open') return opening;
    return { kind: 'connected', session: new RedisSession(target, login, opening, io) };
  },

  async probe(target, login, io, signal) {
    const opening = await openRedis(target, login, io, signal);
    if (opening.kind !== 'open') return opening;
    await new RedisSession(target, login, opening, io).close();
    return { kind: 'opens', address: opening.address };
  },
};
