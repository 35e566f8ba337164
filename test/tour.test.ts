import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createCleanup, descendantsOf, isRunning, runChild, startChild, tempDir } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const cleanup = createCleanup();
const home = tempDir(cleanup.later);
const dataDir = join(tempDir(cleanup.later), 'data');
const scrubbed = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => /^(SALLYPORT_|npm_|GATEWAY_CONFIG)/.test(name))
    .map((name) => [name, undefined]),
);
const options = { cwd: root, env: { ...scrubbed, HOME: home, NO_COLOR: '1' } };
const tour = ['scripts/tour.ts', '--data-dir', dataDir];

afterAll(() => cleanup.run());

test('npm start shows turns and a gap, stays up, says so to a second start, and leaves nothing when it is killed', async () => {
  const running = startChild(cleanup.later, process.execPath, [...tour, '--port', '0'], options);
  const [, url = ''] = await running.waitForLine(/^ +router (https:\S+),/, { withinMs: 60_000 });
  await running.waitForLine(/^Everything stays up until Ctrl-C/, { withinMs: 120_000 });
  expect(running.stdout()).toMatch(/turns: instance-1 2, instance-2 2, instance-3 2\n/);
  expect(running.stdout()).toMatch(/gap: \d+ ms from the kill to the next answer/);
  expect(running.stdout()).toMatch(/55 requests after the kill: 0 failed/);

  const second = await runChild(process.execPath, tour, options);
  expect(second).toMatchObject({ code: 4, stdout: '' });
  expect(second.stderr).toContain(`pid ${running.pid}, router at ${url}`);

  const pam = [join(root, 'packages/cli/bin/pam.mjs'), 'gateway', 'list', '--format', 'json'];
  const listed = await runChild(process.execPath, pam, options);
  expect(listed).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(listed.stdout)).toMatchObject({ gateways: [{ gateway_name: 'demo', max_instances: 3 }] });

  const children = descendantsOf(running.pid);
  expect(children.length).toBeGreaterThanOrEqual(7);
  running.kill('SIGKILL');
  await running.exited;
  await expect.poll(() => children.filter((pid) => isRunning(pid)), { timeout: 30_000 }).toEqual([]);
}, 240_000);

test('a later start goes on with the folder, on another port, and ends by itself with --once', async () => {
  const anchor = readFileSync(join(dataDir, 'home/profiles/demo/log.jsonl'), 'utf8').split('\n')[0];
  const again = await runChild(process.execPath, [...tour, '--once', '--port', '0'], { ...options, withinMs: 120_000 });
  expect(again).toMatchObject({ code: 0, stderr: '' });
  expect(again.stdout).toContain('What an earlier start made is used again');
  expect(readFileSync(join(dataDir, 'home/profiles/demo/log.jsonl'), 'utf8').split('\n')[0]).toBe(anchor);
  expect(existsSync(join(dataDir, 'tour.lock'))).toBe(false);
  for (const file of ['demo.txt', 'demo-kit.json', 'demo-gateway.conf']) {
    expect(statSync(join(dataDir, file)).mode & 0o777).toBe(0o600);
  }
}, 240_000);
