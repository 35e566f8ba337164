import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createCleanup, programPath, runChild, startChild, tempDir } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';
import { createApiClient, dpopHeaders } from '../support/api-client.ts';
import { defaultTiming, timeFlag } from '../../src/pool/index.ts';
import { claim, installation, off, type Operator } from '../support/operator.ts';

const cleanup = createCleanup();
afterAll(() => cleanup.run());
const program = programPath('pam-router');

function run(args: readonly string[], env: Record<string, string> = {}) {
  return runChild(process.execPath, [program, ...args], { env });
}

interface Started {
  readonly child: ReturnType<typeof startChild>;
  readonly port: number;
  readonly pin: string;
  readonly setupCode: string | null;
}
async function start(dataDir: string, more: readonly string[] = [], port = 0): Promise<Started> {
  const args = [
    'start',
    '--data-dir',
    dataDir,
    '--listen',
    '127.0.0.1',
    '--port',
    String(port),
    '--exit-with-stdin',
    ...more,
  ];
  const child = startChild(cleanup.later, process.execPath, [program, ...args]);
  const ready = await child.waitForLine(/ready on 127\.0\.0\.1:(\d+)/);
  const bound = Number(ready[1]);
  const state = JSON.parse(readFileSync(join(dataDir, 'router.json'), 'utf8')) as { pin: string; claimed: boolean };
  const setup = state.claimed ? null : await child.waitForLine(/^pam setup \S+ (\S+)$/);
  return { child, port: bound, pin: state.pin, setupCode: setup?.[1] ?? null };
}

/** The operator, talking to the port the router has now. */
function at(operator: Operator, port: number) {
  const client = createApiClient(port);
  cleanup.later(() => client.close());
  return async (method: string, path: string) =>
    client.ask({ method, path, headers: await dpopHeaders({ method, path }, operator.device, operator.accessToken) });
}

test('start says where it listens and how to claim it; SIGTERM stops it with 0; files are private', async () => {
  const dataDir = tempDir(cleanup.later);
  const { child, port, setupCode } = await start(dataDir);
  expect(setupCode?.length).toBeGreaterThan(60);
  expect(statSync(join(dataDir, 'router.json')).mode & 0o777).toBe(0o600);
  expect(statSync(join(dataDir, 'router.sqlite')).mode & 0o777).toBe(0o600);
  expect(statSync(join(dataDir, 'setup-code.json')).mode & 0o777).toBe(0o600);
  const second = await run(['start', '--data-dir', dataDir, '--listen', '127.0.0.1', '--port', '0']);
  expect(second).toMatchObject({ code: 4, stdout: '' });
  expect(second.stderr).toContain('PAM_ROUTER_RUNNING');
  const info = await createApiClient(port).ask({ method: 'GET', path: '/v1/info' });
  expect(info.status).toBe(200);
  child.kill('SIGTERM');
  expect(await child.exited).toMatchObject({ code: 0 });
});

test('the end of stdin ends it when asked so', async () => {
  const { child } = await start(tempDir(cleanup.later));
  child.closeStdin();
  expect(await child.exited).toMatchObject({ code: 0 });
});

test('a taken port is told with the flag; a bad setting by its name, wherever it came from', async () => {
  const dataDir = tempDir(cleanup.later);
  const taken = createServer().listen(0, '127.0.0.1');
  cleanup.later(() => {
    taken.close();
  });
  await new Promise((resolve) => {
    taken.once('listening', resolve);
  });
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const busy = await run(['start', '--data-dir', dataDir, '--listen', '127.0.0.1', '--port', String(port)]);
  expect(busy.code).toBe(4);
  expect(busy.stderr).toMatch(/PAM_PORT_IN_USE.*\n.*--port/);
  expect(await run(['start', '--port', 'x'])).toMatchObject({ code: 2, stderr: expect.stringContaining('--port') });
  expect(await run(['start'], { SALLYPORT_PORT: '99999' })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('SALLYPORT_PORT'),
  });
  const config = join(dataDir, 'settings.json');
  writeFileSync(config, '{"data-dir": 1, "nothing": 2}');
  expect(await run(['start', '--config', config])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("'nothing'"),
  });
  expect(await run(['start', '--data-dir', dataDir, '--beat-ms', '900'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('3 × beat + rtt + lag ≤ suspect (--beat-ms 900, --rtt-ms 100'),
  });
  expect(await run(['start', '--data-dir', dataDir], { SALLYPORT_HEDGE_MS: '120' })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('rtt + lag ≤ hedge'),
  });
});

test('docs/failover.md has a row for every time, with its flag and its default', async () => {
  const page = readFileSync(join(import.meta.dirname, '../../../../docs/failover.md'), 'utf8');
  const { stdout } = await run(['start', '--help']);
  for (const [name, value] of Object.entries(defaultTiming)) {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${timeFlag(name)}\` |`));
    expect([name, row?.split('|')[2]?.trim()]).toEqual([name, value.toLocaleString('en')]);
    expect([name, stdout.includes(`${timeFlag(name)} `)]).toEqual([name, true]);
  }
});

test('help names every flag with its variable, the version is told, nothing else is understood', async () => {
  const help = await run(['start', '--help']);
  for (const word of [
    '--data-dir',
    'SALLYPORT_DATA_DIR',
    '--database-url',
    '--public-name',
    '--log-format',
    '--hedge-ms',
  ]) {
    expect(help.stdout).toContain(word);
  }
  expect((await run(['--version'])).stdout).toBe('0.1.0\n');
  expect(await run(['fly'])).toMatchObject({ code: 2, stdout: '' });
});

test('setup-code prints a fresh line beside a running router, and the code before is void', async () => {
  const dataDir = tempDir(cleanup.later);
  expect(await run(['setup-code', '--data-dir', dataDir])).toMatchObject({ code: 3 });
  const router = await start(dataDir);
  const fresh = await run(['setup-code', '--data-dir', dataDir]);
  const code = /^pam setup \S+ (\S+)\n$/.exec(fresh.stdout)?.[1] ?? '';
  expect(code).not.toBe(router.setupCode);
  await expect(claim(router)).rejects.toThrow('PAM_SETUP_CODE_INVALID');
  const anna = await claim({ ...router, setupCode: code });
  anna.close();
  expect(await run(['setup-code', '--data-dir', dataDir])).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('PAM_ROUTER_CLAIMED'),
  });
});

test('kill -9 loses nothing that was acknowledged; backup, check and restore bring back what was there', async () => {
  const dataDir = tempDir(cleanup.later);
  const router = await start(dataDir);
  const anna = await claim(router);
  const { keys, machine } = await installation(anna);
  const file = join(tempDir(cleanup.later), 'backup.sqlite');
  expect(await run(['backup', file, '--data-dir', dataDir])).toMatchObject({ code: 0 });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(await run(['backup', file, '--data-dir', dataDir])).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('exists'),
  });
  expect(await run(['restore', file, '--data-dir', dataDir])).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('PAM_ROUTER_RUNNING'),
  });

  const mirror = { gateway: null, configuration: null, credentials: [], permissions: off };
  const kept: string[] = [];
  const writing = (async () => {
    for (;;) {
      const item = await anna.item(keys, 'pamMachine', { mirror, facts: {} });
      await anna.putItem(item);
      kept.push(item.uid);
      if (kept.length === 8) router.child.kill('SIGKILL');
    }
  })();
  await expect(writing).rejects.toBeInstanceOf(Error);
  await router.child.exited;
  anna.close();

  const again = await start(dataDir);
  expect(again.setupCode).toBeNull();
  expect(again.pin).toBe(router.pin);
  const ask = at(anna, again.port);
  for (const uid of kept) expect((await ask('GET', `/v1/items/${uid}`)).status).toBe(200);
  const check = await run(['check', '--data-dir', dataDir]);
  expect(check).toMatchObject({ code: 0, stdout: expect.stringMatching(/schema .*\n[\s\S]*item \d+\n[\s\S]*sound/) });
  again.child.kill('SIGINT');
  expect(await again.child.exited).toMatchObject({ code: 0 });

  const restored = await run(['restore', file, '--data-dir', dataDir]);
  expect(restored).toMatchObject({ code: 0, stdout: expect.stringContaining('incarnation 2') });
  const old = await start(dataDir);
  const askOld = at(anna, old.port);
  expect((await askOld('GET', `/v1/items/${machine.uid}`)).status).toBe(200);
  expect((await askOld('GET', `/v1/items/${kept[0]}`)).status).toBe(404);
  const place = ['--data-dir', dataDir];
  expect((await run(['restored', ...place])).stderr).toContain('PAM_ROUTER_RUNNING');
  old.child.kill('SIGINT');
  await old.child.exited;
  expect((await run(['check', ...place])).stdout).toMatch(/^restored on .*: no new entry of the trust log/m);
  expect((await run(['reopen', ...place])).stdout).toBe('the trust log takes new entries\n');
  expect((await run(['check', ...place])).stdout).not.toContain('restored on');
  expect((await run(['reopen', ...place])).stdout).toBe('the trust log was not closed\n');
  expect((await run(['restored', ...place])).stdout).toBe('marked as restored, incarnation 3\n');
  expect((await run(['reopen', ...place])).stdout).toBe('the trust log takes new entries\n');
  const empty = tempDir(cleanup.later);
  expect(await run(['restored', '--data-dir', empty])).toMatchObject({ code: 3 });
  expect(await run(['check', '--data-dir', empty])).toMatchObject({ code: 3 });
  writeFileSync(file, 'this is not a database, whatever its name says');
  expect((await run(['restore', file, '--data-dir', empty])).stderr).toContain('PAM_STORE_DAMAGED');
  expect(existsSync(join(empty, 'router.sqlite'))).toBe(false);
});
