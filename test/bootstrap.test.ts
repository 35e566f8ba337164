import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { runChild, tempDir } from '@sallyport/testkit';
import { expect, onTestFinished, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const bundled = `node-linux-${process.arch}`;
/** Environment of a user's shell: nothing of the npm that may run this test. */
const plain = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => name.startsWith('npm_'))
    .map((name) => [name, undefined]),
);

/** A file to preload that makes a program believe it runs under another Node. */
function pretend(version: string): string {
  const file = join(tempDir(onTestFinished), 'pretend.mjs');
  writeFileSync(
    file,
    `Object.defineProperty(process, 'version', { value: 'v${version}' });
     Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } });`,
  );
  return file;
}

/** A checkout in which everything of the lock file is installed, its bundled Node with this content. */
function checkout(binary: string): string {
  const folder = tempDir(onTestFinished);
  for (const file of ['bootstrap.mjs', 'bootstrap-tests.mjs'])
    cpSync(join(root, 'scripts', file), join(folder, 'scripts', file));
  const version = JSON.parse(readFileSync(join(root, 'node_modules', bundled, 'package.json'), 'utf8')).version;
  const packages = { [`node_modules/${bundled}`]: { version, integrity: 'sha512-x' } };
  const home = join(folder, 'node_modules', bundled);
  mkdirSync(join(home, 'bin'), { recursive: true });
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: { '': {}, ...packages } }));
  writeFileSync(join(folder, 'node_modules', '.package-lock.json'), JSON.stringify({ packages }));
  writeFileSync(join(home, 'package.json'), JSON.stringify({ version }));
  if (binary === 'published') symlinkSync(join(root, 'node_modules', bundled, 'bin/node'), join(home, 'bin/node'));
  else writeFileSync(join(home, 'bin/node'), binary);
  return folder;
}

function bootstrap(folder: string, nodeVersion: string) {
  const args = ['--import', pretend(nodeVersion), join(folder, 'scripts/bootstrap.mjs')];
  return runChild(process.execPath, args, { cwd: folder, env: { ...plain, npm_execpath: '/no/such/npm' } });
}

test('under a Node that is too old it says so in one line with the remedy, exit 78', async () => {
  const run = await bootstrap(checkout('published'), '18.19.0');
  expect(run).toMatchObject({ code: 78, stdout: '' });
  expect(run.stderr).toBe('sallyport: this is Node 18.19.0; install Node 20.19 or newer (24 is best).\n');
});

test('under Node 20 the published Node that came along is used, and nothing is done the second time', async () => {
  const folder = checkout('published');
  expect(await bootstrap(folder, '20.19.0')).toMatchObject({ code: 0, stderr: '' });
  expect(readlinkSync(join(folder, 'node_modules/.bin/node'))).toBe(`../${bundled}/bin/node`);
  const stamp = lstatSync(join(folder, 'node_modules/.sallyport-stamp')).mtimeMs;
  expect(await bootstrap(folder, '20.19.0')).toMatchObject({ code: 0 });
  expect(lstatSync(join(folder, 'node_modules/.sallyport-stamp')).mtimeMs).toBe(stamp);
});

test('a bundled Node with another SHA-256 is refused, every time', async () => {
  const folder = checkout('#!/bin/sh\necho v24.21.0\n');
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const run = await bootstrap(folder, '20.19.0');
    expect(run.code).toBe(1);
    expect(run.stderr).toContain('SHA-256 differs');
  }
  expect(existsSync(join(folder, 'node_modules/.bin/node'))).toBe(false);
});

test('a host Node of 24 or newer is preferred to the bundled one', async () => {
  const folder = checkout('not looked at');
  mkdirSync(join(folder, 'node_modules/.bin'));
  symlinkSync(`../${bundled}/bin/node`, join(folder, 'node_modules/.bin/node'));
  expect(await bootstrap(folder, '24.0.0')).toMatchObject({ code: 0, stderr: '' });
  expect(existsSync(join(folder, 'node_modules/.bin/node'))).toBe(false);
});

test('what differs from the lock file is installed anew: here npm is missing, and that is said', async () => {
  const folder = checkout('published');
  writeFileSync(
    join(folder, 'package-lock.json'),
    JSON.stringify({ packages: { 'node_modules/x': { version: '1.0.0' } } }),
  );
  const run = await bootstrap(folder, '20.19.0');
  expect(run.code).toBe(69);
  expect(run.stderr).toContain('npm ci failed');
  expect(existsSync(join(folder, 'node_modules/.sallyport-stamp'))).toBe(false);
});

test('a program started under Node 20 starts itself again under the bundled one and keeps the exit code', async () => {
  const shim = join(root, 'packages/cli/bin/pam.mjs');
  const under20 = ['--import', pretend('20.19.0'), shim];
  const version = await runChild(process.execPath, [...under20, '--version']);
  expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  expect((await runChild(process.execPath, [...under20, '--no-such-flag'])).code).toBe(2);
});
