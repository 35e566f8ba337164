import { PamError } from '@sallyport/protocol';
import type { TargetKind } from '@sallyport/rotation';
import { expect, test } from 'vitest';
import { inTreeKinds, loadKinds } from './index.ts';

const [first] = inTreeKinds;
if (first === undefined) throw new Error('there is no kind in the tree');
const { connect, probe, serves, limits, accountName } = first;
const plugin = (change: object = {}): TargetKind => ({
  ...{ connect, probe, serves, limits, accountName },
  description: { ...first.description, name: 'mainframe', ...change },
});
const answering = (modules: Readonly<Record<string, unknown>>) => async (name: string) => {
  if (!Object.hasOwn(modules, name)) throw new Error('not installed');
  return modules[name];
};
const load = (names: readonly string[], modules: Readonly<Record<string, unknown>>) =>
  loadKinds(names, inTreeKinds, answering(modules)).then(
    (kinds) => kinds.map(({ description }) => description.name),
    (reason: unknown) => (reason instanceof PamError ? `${reason.code}: ${reason.message}` : reason),
  );
const inTree = inTreeKinds.map(({ description }) => description.name);

test('plug-ins are asked before the kinds in the tree, in the order they were named', async () => {
  const modules = { '@acme/mainframe': { default: plugin() }, other: { default: plugin({ name: 'other' }) } };
  expect(await load(['other', '@acme/mainframe'], modules)).toEqual(['other', 'mainframe', ...inTree]);
  expect(await load([], {})).toEqual(inTree);
});

test.each([
  ['./local.js', 'is not named like a package'],
  ['/etc/kind.mjs', 'is not named like a package'],
  ['data:text/javascript,1', 'is not named like a package'],
  ['..', 'is not named like a package'],
  ['absent', 'cannot be loaded'],
])('%s is refused: %s', async (name, why) => {
  expect(await load([name], {})).toMatch(`PAM_CONFIG_INVALID: the plug-in ${name} ${why}`);
});

test.each([
  ['nothing', {}, 'has no target kind'],
  ['a text', { default: 'kind' }, 'has no target kind'],
  ['a kind without a probe', { default: { ...plugin(), probe: undefined } }, 'has no target kind'],
  ['a fence that is not one', { default: plugin({ fence: { admin: 'hope', own: null } }) }, 'fence.admin'],
  ['a name with a space', { default: plugin({ name: 'my kind' }) }, 'describes itself wrongly: name'],
  ['a member too many', { default: plugin({ trusted: true }) }, 'describes itself wrongly'],
  ['no word of what it was tried against', { default: plugin({ triedAgainst: null }) }, 'untried'],
  ['the name of a kind in the tree', { default: plugin({ name: first.description.name }) }, 'as another target kind'],
])('a package that exports %s is refused', async (_what, module, why) => {
  const answer = await load(['acme'], { acme: module });
  expect(answer).toContain('PAM_CONFIG_INVALID');
  expect(answer).toContain(why);
});

test('two plug-ins of one name are refused, and so is a package that is really not there', async () => {
  expect(await load(['one', 'two'], { one: { default: plugin() }, two: { default: plugin() } })).toContain(
    'two is named',
  );
  await expect(loadKinds(['@sallyport/no-such-plugin'], inTreeKinds)).rejects.toMatchObject({
    code: 'PAM_CONFIG_INVALID',
  });
});
