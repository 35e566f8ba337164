import type { ApplyOutcome, Credential, Precondition } from '@sallyport/rotation';
import { Secret } from '@sallyport/rotation';
import { newRouterIdentity } from '@sallyport/seal';
import {
  createCleanup,
  type KindLogin,
  type KindWorld,
  kindWorld,
  requireTarget,
  startMariaDb,
  startTcpTarget,
} from '@sallyport/testkit';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { mysql } from '../../src/kind/mysql/mysql.ts';
import { accountOf, freshCredential, greetingOf, type MysqlLab, startMysqlLab, target } from './mysql-lab.ts';

const cleanup = createCleanup();
const presence = requireTarget('mariadb');
const signal = new AbortController().signal;
let lab: MysqlLab;

beforeAll(async () => {
  if (!presence.isMissing) lab = await startMysqlLab(cleanup.later);
}, 60_000);
afterAll(() => cleanup.run());

const passwordOf = (text: string): Credential => ({ kind: 'password', password: new Secret(text) });

async function sessionOf(login: KindLogin | null, world: KindWorld = kindWorld()) {
  if (login === null) return expect.unreachable('the lab has an administrator');
  const connected = await mysql.connect(lab.target, login, world.io, signal);
  if (connected.kind !== 'connected') return expect.unreachable(connected.message);
  return connected.session;
}

/** By the administrator, or by the account itself where its login is given. */
async function write(login: string, next: Credential, as: KindLogin | null = lab.admin): Promise<ApplyOutcome> {
  const session = await sessionOf(as);
  expect(await session.evict?.(accountOf(login))).toBe(true);
  const outcome = await session.apply({ account: accountOf(login), send: 1, next, old: null, limitMs: 30_000 }, signal);
  await session.close();
  return outcome;
}

/** What does not hold. */
async function missing(login: string, as: KindLogin | null = lab.admin): Promise<readonly Precondition[]> {
  const session = await sessionOf(as);
  const found = await session.check(accountOf(login));
  await session.close();
  return found.filter(({ holds }) => !holds);
}

/** Does something to the whole server, and `undo` after the test. */
async function meanwhile(text: string, undo: string): Promise<void> {
  await lab.mariaDb.sql(text);
  onTestFinished(async () => void (await lab.mariaDb.sql(undo)));
}

const answerFor = (login: KindLogin) => mysql.probe(lab.target, login, kindWorld().io, signal);

describe.skipIf(presence.isMissing)('MariaDB', () => {
  test('accounts of one name are told apart by their host part', async () => {
    const [wide, near] = [await lab.makeAccount('twin'), await lab.makeAccount('twin@127.0.0.1')];
    const next = freshCredential();
    expect(await missing('twin@127.0.0.1')).toEqual([]);
    expect(await missing('twin')).toMatchObject([{ remedy: expect.stringContaining('twin@127.0.0.1') }]);
    expect(await missing('twin@10.0.0.%')).toMatchObject([{ remedy: expect.stringContaining('twin@%') }]);
    expect(await write('twin@127.0.0.1', next)).toEqual({ kind: 'applied' });
    expect(await answerFor({ ...near, credential: next })).toMatchObject({ kind: 'opens' });
    expect(await answerFor({ ...wide, credential: next })).toMatchObject({
      kind: 'unknown',
      message: expect.stringContaining('twin@127.0.0.1'),
    });
    // By itself it would change the wrong one.
    const own = { ...wide, credential: next };
    expect(await write('twin', freshCredential(), own)).toMatchObject({ kind: 'denied' });
    expect(await missing('twin', own)).toMatchObject([{ what: 'the login leads to the account of the record' }]);
    await lab.mariaDb.sql(`DROP USER twin@127.0.0.1`);
    expect(await answerFor(wide)).toMatchObject({ kind: 'opens' });
  });

  test('an account without a name that is nearer is seen', async () => {
    await lab.makeAccount('shaded');
    expect(await missing('shaded')).toEqual([]);
    await meanwhile(`CREATE USER ''@'127.0.0.1'`, `DROP USER ''@'127.0.0.1'`);
    expect(await missing('shaded')).toMatchObject([{ remedy: expect.stringContaining('@127.0.0.1') }]);
  });

  test('an eviction ends the session of this account and no other, whoever began it', async () => {
    const [mine, other] = [await lab.makeAccount(), await lab.makeAccount()];
    const worlds = [kindWorld(), kindWorld()] as const;
    const own = await sessionOf(mine, worlds[0]);
    const aside = await sessionOf(lab.admin, worlds[1]);
    expect(await own.evict?.(mine.account)).toBe(true);
    expect(await aside.evict?.(other.account)).toBe(true);
    // Sessions of another login can only be ended with a privilege, and without it nothing is written.
    const admin = await sessionOf(lab.admin);
    expect(await admin.evict?.(mine.account)).toBe(false);
    const rotator = 'rotator@127.0.0.1';
    await meanwhile(`GRANT CONNECTION ADMIN ON *.* TO ${rotator}`, `REVOKE CONNECTION ADMIN ON *.* FROM ${rotator}`);
    const mighty = await sessionOf(lab.admin);
    expect(await mighty.evict?.(mine.account)).toBe(true);
    await worlds[0].allClosed();
    const order = { account: other.account, send: 1, next: freshCredential(), old: null, limitMs: 30_000 };
    expect(await aside.apply(order, signal)).toEqual({ kind: 'applied' });
    await Promise.all([admin.close(), mighty.close(), aside.close()]);
  });

  test('a replica agrees once it has carried out the change, and not before', async () => {
    const { mariaDb } = lab;
    await mariaDb.sql(`CREATE USER copier IDENTIFIED BY 'copier-of-the-lab'; GRANT REPLICATION SLAVE ON *.* TO copier`);
    const identity = await newRouterIdentity(['127.0.0.1'], Date.now());
    const replica = await startMariaDb({ tls: identity, options: ['--server-id=2', '--read-only'] });
    onTestFinished(() => replica.stop());
    await replica.sql(`CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = ${mariaDb.port}, MASTER_USER = 'copier',
      MASTER_PASSWORD = 'copier-of-the-lab', MASTER_USE_GTID = slave_pos; START SLAVE`);
    const world = kindWorld();
    const session = await sessionOf(lab.admin, world);
    const { account } = await lab.makeAccount();
    const at = { host: '127.0.0.1', port: replica.port };
    const agrees = () => session.agrees?.(at, account, signal) ?? Promise.resolve(false);
    const mark = await mariaDb.sql('SELECT @@GLOBAL.gtid_binlog_pos');
    await replica.sql(`SELECT MASTER_GTID_WAIT('${mark}'); STOP SLAVE SQL_THREAD`);
    expect(await session.evict?.(account)).toBe(true);
    const order = { account, send: 1, next: freshCredential(), old: null, limitMs: 30_000 };
    expect(await session.apply(order, signal)).toEqual({ kind: 'applied' });
    expect(await agrees()).toBe(false);
    const later = await mariaDb.sql('SELECT @@GLOBAL.gtid_binlog_pos');
    await replica.sql(`START SLAVE SQL_THREAD; SELECT MASTER_GTID_WAIT('${later}')`);
    expect(await agrees()).toBe(true);
    expect(world.identities).toContainEqual({ kind: 'tls', value: `sha256:${identity.pin}`, at });
    const own = await sessionOf({ account, credential: order.next });
    expect(await own.agrees?.(at, account, signal)).toBe(false);
    await own.close();
    await replica.stop();
    expect(await agrees()).toBe(false);
    await session.close();
    await world.allClosed();
  });

  test('an account that logs in by another method is left as it is', async () => {
    await lab.mariaDb.sql(
      `INSTALL SONAME 'auth_ed25519'; CREATE USER keyed IDENTIFIED VIA ed25519 USING PASSWORD('x')`,
    );
    await lab.mariaDb.sql(`CREATE USER two IDENTIFIED VIA ed25519 USING PASSWORD('x') OR mysql_native_password`);
    const shown = "SELECT User, Priv FROM mysql.global_priv WHERE User IN ('keyed', 'two')";
    const before = await lab.mariaDb.sql(shown);
    for (const login of ['keyed', 'two']) {
      expect(await missing(login)).toMatchObject([{ what: 'the account logs in by a password that is changed here' }]);
      expect(await write(login, freshCredential())).toMatchObject({ kind: 'denied' });
    }
    expect(await lab.mariaDb.sql(shown)).toBe(before);
    expect(await answerFor({ account: accountOf('keyed'), credential: passwordOf('x') })).toMatchObject({
      kind: 'unknown',
      message: expect.stringContaining('client_ed25519'),
    });
  });

  test('a server that judges passwords sees them, and none of its logs does', async () => {
    const login = await lab.makeAccount();
    const { login: name } = login.account;
    const [weak, strong, again] = ['all-lower-case', `Strong-1 ${'x'.repeat(12)}`, `Again-2 ${'y'.repeat(12)}`];
    await lab.mariaDb.sql('GRANT UPDATE ON mysql.* TO rotator@127.0.0.1');
    await meanwhile(`INSTALL SONAME 'simple_password_check'`, `UNINSTALL SONAME 'simple_password_check'`);
    expect(await write(name, passwordOf(strong))).toMatchObject({ kind: 'denied' });
    expect(await missing(name)).toMatchObject([{ what: 'the password gets into no log and no open line' }]);
    await meanwhile('SET GLOBAL general_log = 0', 'SET GLOBAL general_log = 1');
    expect(await missing(name)).toEqual([]);
    expect(await write(name, passwordOf(weak))).toMatchObject({ kind: 'policy' });
    expect(await write(name, passwordOf(strong))).toEqual({ kind: 'applied' });
    const renewed = { ...login, credential: passwordOf(strong) };
    expect(await write(name, passwordOf(again), renewed)).toEqual({ kind: 'applied' });
    expect(await answerFor({ ...login, credential: passwordOf(again) })).toMatchObject({ kind: 'opens' });
    const log = await lab.mariaDb.log();
    for (const text of [weak, strong, again]) expect(log).not.toContain(text);
    await lab.mariaDb.sql('REVOKE UPDATE ON mysql.* FROM rotator@127.0.0.1');
    expect(await missing(name)).toMatchObject([{ remedy: expect.stringContaining('UPDATE ON mysql.*') }]);
    expect(await write(name, passwordOf(strong))).toMatchObject({ kind: 'denied' });
  });

  test('a login that may not look at accounts writes to none', async () => {
    const blind = await lab.makeAccount('blind');
    await lab.mariaDb.sql('GRANT CREATE USER ON *.* TO blind');
    const login = await lab.makeAccount();
    expect(await missing(login.account.login, blind)).toMatchObject([{ what: 'this login may look at accounts' }]);
    expect(await write(login.account.login, freshCredential(), blind)).toMatchObject({ kind: 'denied' });
    expect(await answerFor(login)).toMatchObject({ kind: 'opens' });
  });
});

test('a server that wants no TLS where the record does gets no login', async () => {
  const noTls = 0xffff_ffff - 0x800;
  const server = await startTcpTarget(
    cleanup.later,
    (socket) => void socket.resume().write(greetingOf('mysql_native_password', noTls)),
  );
  const world = kindWorld();
  const here = { ...target, host: server.host, port: server.port, useTls: true };
  const login = { account: accountOf('app'), credential: freshCredential() };
  expect(await mysql.probe(here, login, world.io, signal)).toMatchObject({
    // Nothing of the credential was shown, so it costs none of the logins that may be refused.
    kind: 'unreachable',
    message: 'the server does not speak TLS',
  });
  await world.allClosed();
  expect(server.accepted.map(({ socket }) => socket.bytesRead)).toEqual([0]);
});
