import { existsSync, globSync, readFileSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { productVersion } from '@sallyport/protocol';
import { createCleanup, runChild, tempDir } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { entryText, plugins } from '../scripts/build/programs.ts';

const root = join(import.meta.dirname, '..');
const names = ['pam', 'pam-gateway', 'pam-router'];
const cleanup = createCleanup();
const dist = join(tempDir(cleanup.later, 0o711), 'dist');
const home = tempDir(cleanup.later);
const env = { SALLYPORT_HOME: home, HOME: home, SALLYPORT_NODE: process.execPath };

beforeAll(async () => {
  const built = await runChild(process.execPath, ['scripts/build.ts', '--out', dist], { cwd: root, withinMs: 120_000 });
  if (built.code !== 0) throw new Error(`the build failed: ${built.stderr}`);
}, 120_000);
afterAll(() => cleanup.run());

test.each(names)('%s runs from its bundle alone, through a link too, and says its version', async (name) => {
  const link = join(home, name);
  symlinkSync(join(dist, name), link);
  for (const command of [join(dist, name), link]) {
    const run = await runChild(command, ['--version'], { env, cwd: home });
    expect(run).toMatchObject({ code: 0, stdout: expect.stringContaining(productVersion) });
  }
  const help = await runChild(process.execPath, [join(dist, `${name}.mjs`), '--help'], { env, cwd: home });
  expect(help).toMatchObject({ code: 0, stdout: expect.stringMatching(/usage/i), stderr: '' });
});

test.each(Object.values(plugins))('%s is there for --plugin, from its bundle alone', async (name) => {
  const code = `import { pathToFileURL } from 'node:url';
    const { default: kind } = await import(pathToFileURL(process.argv[1] + '/node_modules/${name}/index.mjs').href);
    process.stdout.write(kind.description.name);`;
  const run = await runChild(process.execPath, ['--input-type=module', '-e', code, dist], { env, cwd: home });
  expect(run).toMatchObject({ code: 0, stdout: name.replace('@sallyport/kind-', ''), stderr: '' });
});

test.each(names)('the shim of %s in the checkout runs the sources', async (name) => {
  const folder = { pam: 'cli', 'pam-gateway': 'gateway', 'pam-router': 'router' }[name] ?? '';
  const shim = join(root, 'packages', folder, 'bin', `${name}.mjs`);
  expect(statSync(shim).mode & 0o111).toBe(0o111);
  const run = await runChild(process.execPath, [shim, '--version'], { env, cwd: home });
  expect(run).toMatchObject({ code: 0, stdout: expect.stringContaining(productVersion) });
});

test('the flags that programs set when they run do not end one whose functions are being compiled', async () => {
  const shims = globSync('packages/*/bin/*.mjs', { cwd: root }).map((file) => readFileSync(join(root, file), 'utf8'));
  const flags = [...shims, entryText('talker')].map((text) => text.match(/(?<=')--no-[\w-]+(?=')/g) ?? []);
  expect(flags.length).toBe(4);
  expect(new Set(flags.map(String)).size).toBe(1);
  // Rounds of functions that have just become hot; each round is a little longer, so that some are compiling at the flags.
  const code = `import { setFlagsFromString } from 'node:v8';
    const flags = process.argv.slice(1);
    const lines = Array.from({ length: 60 }, (_, k) => 'if (s % ' + (k + 7) + ' === 0) s = (s * 3 + a.length) % 1000003; else s += a[' + k + '] ?? 1;');
    const make = (seed) => new Function('a', 'let s = ' + seed + '; for (let j = 0; j < 30; j++) {' + lines.join(' ') + '} return s;');
    const call = (made, rounds) => { for (let r = 0; r < rounds; r++) for (const one of made) one([1, 2, 3]); };
    for (let round = 0; round < 40; round++) {
      const made = Array.from({ length: 10 }, (_, k) => make(round * 10 + k));
      call(made, 20 + round);
      for (const flag of flags) setFlagsFromString(flag);
      call(made, 40);
      for (const flag of flags) setFlagsFromString(flag.replace('--no-', '--'));
    }`;
  for (let time = 0; time < 2; time++) {
    const run = await runChild(process.execPath, ['--input-type=module', '-e', code, '--', ...(flags[0] ?? [])], {
      env,
    });
    expect(run).toMatchObject({ code: 0, stderr: '' });
  }
});

test('all that a program wrote reaches a slow reader before it ends', async () => {
  const folder = tempDir(cleanup.later);
  const entry = join(folder, 'talker.mjs');
  mkdirSync(join(folder, 'lib', 'talker'), { recursive: true });
  writeFileSync(entry, entryText('talker'));
  writeFileSync(
    join(folder, 'lib', 'talker', 'main.mjs'),
    "export async function main() { process.stdout.write('x'.repeat(2_000_000)); return 3; }",
  );
  const run = await runChild('/bin/bash', [
    '-c',
    `${process.execPath} ${entry} | (sleep 0.3; wc -c); exit $PIPESTATUS`,
  ]);
  expect(run).toMatchObject({ code: 3, stdout: '2000000\n' });
});

test('an unknown command or flag is a usage error: exit 2, nothing on stdout', async () => {
  for (const name of names) {
    const run = await runChild(join(dist, name), ['--no-such-flag'], { env, cwd: home });
    expect(run).toMatchObject({ code: 2, stdout: '' });
  }
});

test('the sums are those of all files, and the workers lie beside the router', async () => {
  const checked = await runChild('sha256sum', ['--quiet', '-c', 'SHA256SUMS'], { cwd: dist });
  expect(checked).toMatchObject({ code: 0, stdout: '' });
  const listed = readFileSync(join(dist, 'SHA256SUMS'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.slice(66));
  const files = globSync('**/*', { cwd: dist }).filter((file) => statSync(join(dist, file)).isFile());
  expect(listed.toSorted()).toEqual(files.filter((file) => file !== 'SHA256SUMS').toSorted());
  for (const worker of ['relay-process.mjs', 'sqlite-worker.mjs']) {
    expect(existsSync(join(dist, 'lib', 'pam-router', worker))).toBe(true);
  }
});
