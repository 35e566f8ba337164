import { newRouterIdentity } from '@sallyport/seal';
import { createCleanup, type KindLogin, kindWorld, startPostgres, whyNoPostgres } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';
import { postgresql } from '../../src/kind/postgresql/postgresql.ts';
import { freshCredential, startPostgresLab } from './postgresql-lab.ts';

const cleanup = createCleanup();
const noServer = await whyNoPostgres();
const { signal } = new AbortController();
afterAll(() => cleanup.run());

test.skipIf(noServer !== null)('a standby agrees once it has replayed the change, and not before', async () => {
  const lab = await startPostgresLab(cleanup.later);
  const identity = await newRouterIdentity(['127.0.0.1'], Date.now());
  const standby = await startPostgres(undefined, { tls: identity, standbyOf: lab.postgres });
  cleanup.later(() => standby.stop());
  const world = kindWorld();
  const sessionOf = async (login: KindLogin | null) => {
    if (login === null) throw new Error('no such login');
    const opened = await postgresql.connect(lab.target, login, world.io, signal);
    if (opened.kind !== 'connected') throw new Error(opened.message);
    return opened.session;
  };
  const session = await sessionOf(lab.admin);
  const { account } = await lab.makeAccount();
  const at = { host: '127.0.0.1', port: standby.port };
  const agrees = () => session.agrees?.(at, account, signal) ?? Promise.resolve(false);
  const place = await lab.postgres.psql('postgres', 'SELECT pg_current_wal_lsn()');
  const replayed = `SELECT pg_last_wal_replay_lsn() >= '${place}'`;
  await expect.poll(() => standby.psql('postgres', replayed), { timeout: 30_000 }).toBe('t');
  await standby.psql('postgres', 'SELECT pg_wal_replay_pause()');
  const order = { account, send: 1, next: freshCredential(), old: null, limitMs: 30_000 };
  expect(await session.apply(order, signal)).toEqual({ kind: 'applied' });
  expect(await agrees()).toBe(false);
  await standby.psql('postgres', 'SELECT pg_wal_replay_resume()');
  await expect.poll(agrees, { timeout: 30_000 }).toBe(true);
  expect(world.identities).toContainEqual({ kind: 'tls', value: `sha256:${identity.pin}`, at });
  const own = await sessionOf({ account, credential: order.next });
  expect(await own.agrees?.(at, account, signal)).toBe(false);
  await own.close();
  await standby.stop();
  expect(await agrees()).toBe(false);
  await session.close();
  await world.allClosed();
});
