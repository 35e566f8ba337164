import { createCleanup } from '@sallyport/testkit';
import { afterAll, expect, test, vi } from 'vitest';
import { members } from '../harness/json.ts';
import { newInstallation, withPool } from '../harness/installation.ts';
import { patience } from '../harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
afterAll(() => cleanup.run());

const plugins = ['@sallyport/kind-sqlserver', '@sallyport/kind-mongodb'];
const names = ['sqlserver', 'mongodb'];

test('kinds of packages are loaded by name, asked first, and told as not tried', async () => {
  const installation = await newInstallation(cleanup.later);
  const config = await withPool(installation);
  await installation.startInstance('right', config, { args: ['--plugin', plugins.join(',')] }).id();

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
