import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { breaches } from './architecture-rules.ts';
import { type ModuleFacts, readModule } from './module-facts.ts';

const root = join(import.meta.dirname, '..');
const modules: readonly ModuleFacts[] = globSync('packages/*/{src,test}/**/*.ts', { cwd: root })
  .map((path) => path.replaceAll('\\', '/'))
  .map((path) => readModule(path, readFileSync(join(root, path), 'utf8')));

test('the packages keep their direction, their doors and their habits', () => {
  expect(breaches(modules)).toEqual([]);
});

test('the check has read every package', () => {
  const packages = ['protocol', 'seal', 'stream', 'rotation', 'router', 'kind-support', 'gateway', 'cli', 'testkit'];
  const counts = packages.map((name) => modules.filter(({ path }) => path.startsWith(`packages/${name}/src/`)).length);
  expect(counts.every((count) => count > 0)).toBe(true);
  expect(modules.flatMap(({ imports }) => imports).length).toBeGreaterThan(modules.length);
});

const planted: readonly (readonly [breach: string, path: string, source: string])[] = [
  ['must not import gateway', 'packages/router/src/main.ts', "import { x } from '@sallyport/gateway';"],
  ['must not import router', 'packages/cli/src/main.ts', "const x = await import('@sallyport/router');"],
  ['must not import seal', 'packages/protocol/src/x.ts', "export type { X } from '@sallyport/seal';"],
  ['must not import testkit', 'packages/stream/src/x.ts', "import { x } from '@sallyport/testkit';"],
  ['by path', 'packages/gateway/src/x.ts', "import { x } from '../../router/src/main.ts';"],
  ['inside of a package', 'packages/cli/src/x.ts', "import { x } from '@sallyport/seal/src/keys.ts';"],
  ['beside its index.ts', 'packages/router/src/session/x.ts', "import type { X } from '../pool/instance.ts';"],
  ['imports adapter store', 'packages/router/src/pool/x.ts', "import { x } from '../store/index.ts';"],
  ['imports concept pool', 'packages/router/src/audit/x.ts', "import { x } from '../pool/index.ts';"],
  ['Web APIs only', 'packages/seal/src/x.ts', "import { x } from 'node:crypto';"],
  ['export *', 'packages/seal/src/x.ts', "export * from './y.ts';"],
  ['a step function is synchronous', 'packages/stream/src/x.ts', 'export async function step() {}'],
  ['a step function does no I/O', 'packages/stream/src/x.ts', "import 'node:net'; export function stepCredit() {}"],
  ['Date.now outside', 'packages/stream/src/x.ts', 'export const at = Date.now();'],
  ['new Date() outside', 'packages/stream/src/x.ts', 'export const at = new Date();'],
  ['setTimeout outside', 'packages/stream/src/x.ts', 'setTimeout(() => {}, 1);'],
  ['throws Error', 'packages/stream/src/x.ts', "throw new Error('no');"],
  ['@ts-ignore', 'packages/stream/src/x.test.ts', '// @ts-ignore\nconst x = 1;'],
];

test.each(planted)('a planted breach is found: %s', (breach, path, source) => {
  expect(breaches([...modules, readModule(path, source)]).join('\n')).toContain(breach);
});

test('a planted cycle is found, between files and between concepts', () => {
  const files = ['a', 'b'].map((name) =>
    readModule(`packages/stream/src/${name}.ts`, `import './${name === 'a' ? 'b' : 'a'}.ts';`),
  );
  expect(breaches(files).join()).toContain('cycle: packages/stream/src/a.ts → packages/stream/src/b.ts');
  const concepts = [
    readModule('packages/router/src/pool/x.ts', "import '../session/index.ts';"),
    readModule('packages/router/src/session/y.ts', "import '../pool/index.ts';"),
  ];
  expect(breaches(concepts).join()).toContain('cycle: packages/router/src/pool → packages/router/src/session');
});

test('what a step function runs of its own folder is held to the same', () => {
  const split = [
    readModule('packages/stream/src/step.ts', "import { next } from './next.ts'; export function step() { next(); }"),
    readModule('packages/stream/src/next.ts', "import { last } from './last.ts'; export const next = () => last();"),
    readModule('packages/stream/src/last.ts', 'export const last = async () => {};'),
  ];
  expect(breaches(split)).toEqual(['packages/stream/src/last.ts: a step function is synchronous']);
});

test('what is allowed is not reported', () => {
  const allowed = [
    readModule('packages/router/src/main.ts', "import { x } from '@sallyport/seal'; import './pool/index.ts';"),
    readModule('packages/seal/src/x.test.ts', "import { x } from '@sallyport/testkit'; import 'node:fs';"),
    readModule('packages/gateway/src/system-clock.ts', 'export const nowMs = () => Date.now();'),
    readModule('packages/stream/src/one.ts', "import type { B } from './two.ts';"),
    readModule('packages/stream/src/two.ts', "import { type A, a } from './one.ts';"),
    readModule('packages/stream/src/step.ts', 'export function step() { return new Date(0); }'),
  ];
  expect(breaches(allowed)).toEqual([]);
});
