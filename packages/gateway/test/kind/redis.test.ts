import type { KindSession } from '@sallyport/rotation';
import {
  createCleanup,
  kindCases,
  type KindLogin,
  type KindServer,
  kindWorld,
  requireTarget,
} from '@sallyport/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { redis } from '../../src/kind/redis/redis.ts';
import { accountOf, freshCredential, hashRule, type RedisLab, redisLab, startRedisLab } from './redis-lab.ts';

const presence = requireTarget('redis');
if (presence.isMissing) console.info(`skipped: ${presence.reason}`);

const never = (): AbortSignal => new AbortController().signal;

describe.skipIf(presence.isMissing)('Redis', () => {
  const cleanup = createCleanup();
  let lab: RedisLab;
  beforeAll(async () => {
    lab = await startRedisLab(cleanup.later);
  });
  afterAll(cleanup.run);

  const server = (): KindServer => lab;
  for (const { name, absent, run } of kindCases(redisLab(server))) test.skipIf(absent !== null)(name, run);

  async function asAdmin<T>({ target, admin }: RedisLab, work: (session: KindSession) => Promise<T>): Promise<T> {
    if (admin === null) throw new Error('no administrator');
    const outcome = await redis.connect(target, admin, kindWorld().io, never());
    if (outcome.kind !== 'connected') throw new Error(outcome.message);
    try {
      return await work(outcome.session);
    } finally {
      await outcome.session.close();
    }
  }
  const change = (from: RedisLab, { account, credential: old }: KindLogin, send = 1) => {
    const next = freshCredential();
    return asAdmin(from, async (session) => {
      await session.mark(account);
      const outcome = await session.apply({ account, send, next, old, limitMs: 30_000 }, never());
      return { outcome, next: { account, credential: next } };
    });
  };
  const opens = async (from: RedisLab, login: KindLogin) =>
    (await redis.probe(from.target, login, kindWorld().io, never())).kind;

  test('without TLS the password is not sent, unless the record says so', async () => {
    const login = await lab.makeAccount();
    const clear = { ...lab.target, port: lab.redis.plainPort, useTls: false, identity: null };
    const world = kindWorld();
    expect(await redis.probe(clear, login, world.io, never())).toMatchObject({ kind: 'unknown' });
    expect(world.dialled()).toBe(0);
    const allowed = { ...clear, custom: { redisClearText: 'yes' } };
    expect(await redis.probe(allowed, login, world.io, never())).toMatchObject({ kind: 'opens' });
  });

  test('a password of somebody else stays, and a late write is removed by the next rotation', async () => {
    const login = await lab.makeAccount();
    const { account } = login;
    const theirs = freshCredential();
    await lab.redis.run(['ACL', 'SETUSER', account.login, hashRule(theirs)]);
    const first = await change(lab, login, 1);
    const second = await change(lab, login, 2);
    const removed = await asAdmin(lab, async (session) => session.retire?.(account, second.next.credential, never()));
    expect(removed).toEqual({ kind: 'retired', removed: 2 });
    const late = { account, send: 1, next: first.next.credential, old: login.credential, limitMs: 30_000 };
    await asAdmin(lab, (session) => session.apply(late, never()));
    expect(await opens(lab, first.next)).toBe('opens');
    const third = await change(lab, second.next, 3);
    await asAdmin(lab, async (session) => session.retire?.(account, third.next.credential, never()));
    expect(await opens(lab, first.next)).toBe('refused');
    expect(await opens(lab, second.next)).toBe('refused');
    expect(await opens(lab, third.next)).toBe('opens');
    expect(await opens(lab, { account, credential: theirs })).toBe('opens');
    const users = (await lab.redis.run(['ACL', 'USERS'])).split('\n');
    expect(users.filter((name) => name.includes(hashRule(third.next.credential).slice(1, 25)))).toHaveLength(1);
    expect(users.filter((name) => name.includes(hashRule(second.next.credential).slice(1, 25)))).toHaveLength(0);
  });

  test('a user that any password opens is not changed, and not verified', async () => {
    const { account, credential } = await lab.makeAccount('open-to-all');
    await lab.redis.run(['ACL', 'SETUSER', account.login, 'nopass']);
    const { outcome } = await change(lab, { account, credential });
    expect(outcome).toMatchObject({ kind: 'denied' });
    const found = await asAdmin(lab, (session) => session.check(account));
    expect(found.filter(({ holds }) => !holds)).toMatchObject([{ what: 'the user needs a password' }]);
  });

  test('the user default is a user like others, and where it needs no password nothing is verified', async () => {
    const login = { account: accountOf('default'), credential: freshCredential() };
    await lab.redis.run(['ACL', 'SETUSER', 'default', 'on', 'nopass', '~*', '+@all']);
    expect(await opens(lab, login)).toBe('unknown');
    await lab.redis.run(['CONFIG', 'SET', 'requirepass', 'as-it-was']);
    await lab.redis.run(['ACL', 'SETUSER', 'default', hashRule(login.credential)]);
    expect(await opens(lab, login)).toBe('opens');
    const { outcome, next } = await change(lab, login);
    expect(outcome).toMatchObject({ kind: 'applied' });
    expect(await opens(lab, next)).toBe('opens');
    await lab.redis.run(['ACL', 'SETUSER', 'default', 'reset']);
  });

  test('a write whose connection was lost before it was read is not carried out', async () => {
    const login = await lab.makeAccount();
    const held = await lab.hold?.(login.account, 'admin');
    const world = kindWorld();
    if (held === undefined || lab.admin === null) throw new Error('nothing is held');
    const outcome = await redis.connect(held.target, lab.admin, world.io, never());
    if (outcome.kind !== 'connected') throw new Error(outcome.message);
    const next = freshCredential();
    const order = { account: login.account, send: 1, next, old: login.credential, limitMs: 200 };
    expect(await outcome.session.apply(order, never())).toMatchObject({ kind: 'unknown' });
    await world.allClosed();
  });

  test('a replica agrees when somebody gave it the same passwords, and is asked under its own key', async () => {
    const replica = await startRedisLab(cleanup.later);
    if (lab.admin === null) throw new Error('no administrator');
    const login = await lab.makeAccount();
    const { outcome, next } = await change(lab, login);
    expect(outcome).toEqual({ kind: 'applied' });
    const world = kindWorld();
    const opened = await redis.connect(lab.target, lab.admin, world.io, never());
    if (opened.kind !== 'connected') throw new Error(opened.message);
    const place = { host: replica.target.host, port: replica.target.port };
    const agrees = () => opened.session.agrees?.(place, login.account, never());
    expect(await agrees()).toBe(false);
    await replica.redis.run(['ACL', 'SETUSER', lab.admin.account.login, hashRule(lab.admin.credential)]);
    expect(await agrees()).toBe(false);
    const both = [hashRule(login.credential), hashRule(next.credential)];
    await replica.redis.run(['ACL', 'SETUSER', login.account.login, 'on', ...both]);
    expect(await agrees()).toBe(true);
    expect(world.identities.at(-1)?.at).toEqual(place);
    await opened.session.close();
    await world.allClosed();
  });

  test.each(['aclfile', 'config'] as const)('a change outlives a restart: %s', async (keeps) => {
    const own = await startRedisLab(cleanup.later, { keeps });
    const login = await own.makeAccount();
    await own.redis.run([...(keeps === 'aclfile' ? ['ACL', 'SAVE'] : ['CONFIG', 'REWRITE'])]);
    const { outcome, next } = await change(own, login);
    expect(outcome).toEqual({ kind: 'applied' });
    await own.redis.restart();
    expect(await opens(own, next)).toBe('opens');
    expect(await opens(own, login)).toBe('opens');
    await asAdmin(own, async (session) => session.retire?.(login.account, next.credential, never()));
    await own.redis.restart();
    expect(await opens(own, next)).toBe('opens');
    expect(await opens(own, login)).toBe('refused');
  });

  test('a name that the configuration file cannot hold is not saved there', async () => {
    const login = await lab.makeAccount(`quoted"`);
    const byConfig = { ...lab, target: { ...lab.target, custom: { redisPersist: 'config' } } };
    expect((await change(byConfig, login)).outcome).toMatchObject({ kind: 'denied' });
  });

  test('a server that would lose the change is not written to, unless the record says so', async () => {
    const own = await startRedisLab(cleanup.later, { keeps: 'nothing' });
    const login = await own.makeAccount();
    expect((await change(own, login)).outcome).toMatchObject({ kind: 'denied' });
    const found = await asAdmin(own, (session) => session.check(login.account));
    expect(found.filter(({ holds }) => !holds)).toMatchObject([
      { what: 'the server keeps its users when it is started again' },
    ]);
    const forgetful = { ...own, target: { ...own.target, custom: { redisPersist: 'none' } } };
    expect((await change(forgetful, login)).outcome).toEqual({ kind: 'applied' });
  });
});
