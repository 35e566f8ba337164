import { createCleanup } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { known, startStandIn } from '../../packages/kind-mongodb/test/mongo-stand-in.ts';
import { type Installation, newInstallation, withPool } from '../harness/installation.ts';
import { member, members } from '../harness/json.ts';
import { patience } from '../harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
const plugins = ['@sallyport/kind-sqlserver', '@sallyport/kind-mongodb'];
const names = ['sqlserver', 'mongodb'];
let installation: Installation;

beforeAll(async () => {
  installation = await newInstallation(cleanup.later);
  const config = await withPool(installation);
  await installation.startInstance('right', config, { args: plugins.flatMap((name) => ['--plugin', name]) }).id();
});
afterAll(() => cleanup.run());

test('kinds of packages are loaded by name, asked first, and told as not tried', async () => {
  const targets = ['rotation', 'targets', '-g', 'dc1'];
  const told = await installation.json(targets);
  const kinds = members(told, 'kinds');
  expect(kinds.slice(0, names.length)).toEqual(
    names.map((name) =>
      expect.objectContaining({ name, tried_against: null, untried: expect.stringContaining('could be started') }),
    ),
  );
  expect(kinds).toContainEqual(expect.objectContaining({ name: 'openldap', untried: null }));
  // What is not there is not passed over in silence either.
  expect(members(told, 'not_here')).toEqual([{ name: 'windows', why: expect.stringContaining('not written') }]);

  const table = (await installation.pam(targets)).stdout;
  for (const name of names) expect(table).toMatch(new RegExp(`^${name} .*NOT TRIED against a real server: `, 'm'));
});

test('a kind of a package rotates like any other: here at a protocol stand-in, which proves nothing about MongoDB', async () => {
  const { pam } = installation;
  const server = await startStandIn(cleanup.later, undefined, { users: [['app', 'the old password']] });
  await pam(['config', 'edit', 'dc1-net', '--rotation', 'on']);
  for (const [title, login, password] of [
    ['admin', known.user, known.password],
    ['app', 'app', 'the old password'],
  ] as const)
    await pam(['record', 'new', 'pamUser', '-n', title, '-a', 'prod', '--login', login, '--password-stdin'], {
      input: `${password}\n`,
    });
  await pam([
    ...['record', 'new', 'pamDatabase', '-n', 'mongo', '-a', 'prod', '-c', 'dc1-net', '--host', '127.0.0.1'],
    ...['-p', String(server.port), '--field', 'databaseType=mongodb', '--field', 'useSsl=true'],
    ...['--credential', 'admin:admin'],
  ]);
  await pam(['rotation', 'edit', '-r', 'app', '--resource', 'mongo', '-x', '24,2,2,2,0', '--on-demand']);

  const job = await installation.json(['action', 'rotate', '-r', 'app', '--wait']);
  expect(job).toMatchObject({ state: 'done', why: 'rotated', sends: 1 });
  const password = member(await installation.json(['record', 'get', 'app', '--unmask']), 'secrets', 'password');
  expect(password).not.toBe('the old password');
  expect(server.passwords.get('app')).toBe(password);
  expect(server.names().filter((name) => name === 'updateUser')).toHaveLength(1);
});
