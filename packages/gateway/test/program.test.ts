import { spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { decodeJoinConfig, encodeJoinConfig, newToken } from '@sallyport/seal';
import { type Child, freePort, runChild, startChild, tempDir } from '@sallyport/testkit';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { createInstallation } from './lab/installation.ts';
import { startScriptedRouter } from './lab/scripted-router.ts';

const program = join(import.meta.dirname, '../bin/pam-gateway.mjs');
const node = process.execPath;
const later = (work: () => Promise<void> | void): void => onTestFinished(work);

let router: Awaited<ReturnType<typeof startScriptedRouter>>;
let home: string;
let joinText: string;
beforeEach(async () => {
  router = await startScriptedRouter((identity) => createInstallation(identity.pin));
  later(() => router.close());
  home = tempDir(later);
  joinText = encodeJoinConfig(await router.installation.config([router.address], [router.identity.pin]));
});
const environment = (more: Record<string, string | undefined> = {}): Record<string, string | undefined> => ({
  SALLYPORT_HOME: home,
  GATEWAY_CONFIG: undefined,
  ...more,
});
function start(
  args: readonly string[],
  more: Record<string, string | undefined> = { GATEWAY_CONFIG: joinText },
): Child {
  const child = startChild(later, node, [program, 'start', '--log-format', 'json', ...args], {
    env: environment(more),
  });
  return child;
}
const ready = /"msg":"ready"/;
const run = (args: readonly string[], more: Record<string, string | undefined> = {}, input = '') =>
  runChild(node, [program, ...args], { env: environment(more), input });

test('a start from GATEWAY_CONFIG becomes ready, answers health checks, and ends on SIGTERM with a bye and 0', async () => {
  const child = start([], { GATEWAY_CONFIG: joinText, ACCEPT_EULA: 'Y' });
  await child.waitForLine(ready);
  const text = await run(['health-check']);
  expect(text).toMatchObject({ code: 0 });
  expect(text.stdout).toMatch(/^ready \(slot\): instance [\w-]{22}, 0 streams/);
  const json = await run(['health-check', '--format', 'json', '--state-dir', join(home, 'instances/1')]);
  expect(JSON.parse(json.stdout)).toMatchObject({
    ready: true,
    membership: 'slot',
    gateway: router.installation.gateway,
  });
  expect(await child.stop()).toEqual({ code: 0, signal: null });
  expect(router.byes).toEqual(['stopped']);
  expect(await run(['health-check'])).toMatchObject({ code: 69 });
});

test('the join configuration is in no log line, and gone from the environment of the program', async () => {
  const probe = join(home, 'probe.mjs');
  await writeFile(
    probe,
    `const { takenSecrets } = await import(${JSON.stringify(join(import.meta.dirname, '../src/program/take-secrets.ts'))});
    const { execFileSync } = await import('node:child_process');
    const seen = execFileSync('/usr/bin/env').toString() + execFileSync('/bin/cat', ['/proc/self/environ']).toString();
    console.log(JSON.stringify({ taken: takenSecrets.joinConfig?.length, own: 'GATEWAY_CONFIG' in process.env, child: seen.includes('GATEWAY_CONFIG'), token: seen.includes('SALLYPORT_TOKEN') }));`,
  );
  const { stdout } = await runChild(node, [probe], {
    env: environment({ GATEWAY_CONFIG: joinText, SALLYPORT_TOKEN: 'host:token' }),
  });
  expect(JSON.parse(stdout)).toEqual({ taken: joinText.length, own: false, child: false, token: false });
  const child = start(['--log-level', 'debug']);
  await child.waitForLine(ready);
  await child.stop();
  const secrets = [
    joinText.slice(40, 80),
    (await decodeJoinConfig(joinText)).signKey.d,
    (await decodeJoinConfig(joinText)).boxKey.d,
  ];
  for (const secret of secrets) expect(child.stdout() + child.stderr()).not.toContain(secret);
});

test('a launcher may hand the configuration over a pipe instead of the environment', async () => {
  const env = { ...process.env, ...environment(), SALLYPORT_HANDOVER_FD: '3' } as NodeJS.ProcessEnv;
  const child = spawn(node, [program, 'start', '--log-format', 'json', '--exit-with-stdin'], {
    env,
    stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
  });
  const handover = child.stdio[3] as import('node:stream').Writable;
  handover.end(JSON.stringify({ GATEWAY_CONFIG: joinText }));
  let seen = '';
  await new Promise<void>((done) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      seen += String(chunk);
      if (ready.test(seen)) done();
    });
    child.on('exit', () => done());
  });
  expect(seen).toMatch(ready);
  expect(readFileSync(`/proc/${child.pid}/environ`, 'utf8')).not.toContain('GATEWAY_CONFIG');
  child.stdin?.end();
  expect(await new Promise((done) => child.on('exit', done))).toBe(0);
});

test('each instance gets a folder of its own, and one that was killed leaves its folder free', async () => {
  const first = start([]);
  await first.waitForLine(ready);
  const other = start([]);
  await other.waitForLine(ready);
  expect(existsSync(join(home, 'instances/2/health.sock'))).toBe(true);
  const taken = await run(['start', '--state-dir', join(home, 'instances/1')], { GATEWAY_CONFIG: joinText });
  expect(taken).toMatchObject({ code: 4 });
  expect(taken.stderr).toContain('PAM_INSTANCE_DUPLICATE');
  expect(await run(['health-check'])).toMatchObject({ code: 4 });
  first.kill('SIGKILL');
  await first.exited;
  const third = start([]);
  await third.waitForLine(ready);
  expect(third.stdout()).toContain(`${home}/instances/1"`);
  expect(existsSync(join(home, 'instances/3'))).toBe(false);
});

test('closing its stdin ends a program that was asked for it', async () => {
  const child = start(['--exit-with-stdin']);
  await child.waitForLine(ready);
  child.closeStdin();
  expect(await child.exited).toEqual({ code: 0, signal: null });
});

test('a full pool ends --no-standby with exit code 4 and words', async () => {
  router.script.refuseHello = new PamError('PAM_POOL_FULL', 'pool full: maximum 3, connected 3');
  const { code, stderr } = await run(['start', '--no-standby'], { GATEWAY_CONFIG: joinText });
  expect(code).toBe(4);
  expect(stderr).toContain('pool full: maximum 3, connected 3');
  expect((await router.links[0]?.hello)?.noStandby).toBe(true);
});

test('the health port answers over HTTP only when asked for', async () => {
  const port = await freePort();
  const asked = start(['--health-port', String(port)]);
  await asked.waitForLine(ready);
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
  expect(await run(['health-check', '--health-port', String(port), '--format', 'json'])).toMatchObject({ code: 0 });
  const silent = start(['--listen-none']);
  await silent.waitForLine(ready);
  expect(existsSync(join(home, 'instances/2/health.sock'))).toBe(false);
});

test('settings come from the flag, then the environment, then the file', async () => {
  const file = join(home, 'settings.json');
  const [a, b, c] = [join(home, 'a'), join(home, 'b'), join(home, 'c')];
  await writeFile(file, JSON.stringify({ 'state-dir': c, 'log-level': 'error' }));
  for (const [args, more, folder] of [
    [['--state-dir', a], { SALLYPORT_STATE_DIR: b, SALLYPORT_LOG_LEVEL: 'info' }, a],
    [[], { SALLYPORT_STATE_DIR: b, SALLYPORT_LOG_LEVEL: 'info' }, b],
    [['--log-level', 'info'], {}, c],
  ] as const) {
    const child = start(['--config', file, ...args], { GATEWAY_CONFIG: joinText, ...more });
    await child.waitForLine(ready);
    expect(existsSync(join(folder, 'instance.lock'))).toBe(true);
    await child.stop();
  }
});

async function putToken(state: 'open' | 'expired' | 'used' = 'open'): Promise<string> {
  const { token, lookup, seal } = await newToken();
  router.tokens.set(lookup, { blob: await seal(await decodeJoinConfig(joinText)), redeemer: null, state });
  return `127.0.0.1:${router.port}:${token}`;
}

test('a redeemed token is written 0600 and acknowledged only then', async () => {
  const file = join(home, 'dc1.conf');
  const { code } = await run(['redeem', '-', '-o', file], {}, await putToken());
  expect(code).toBe(0);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readFileSync(file, 'utf8').trim()).toBe(joinText);
  expect([...router.tokens.values()][0]?.state).toBe('used');
  const printed = await run(['redeem', await putToken()]);
  expect(printed.stdout.trim()).toBe(joinText);
});

test('a redemption that could not be written is not acknowledged and may be asked for again', async () => {
  const token = await putToken();
  const { code, stderr } = await run(['redeem', token, '-o', join(home, 'no/such/folder/x')]);
  expect(code).toBe(2);
  expect(stderr).toContain('cannot be written');
  expect([...router.tokens.values()][0]?.state).toBe('open');
  expect(await run(['redeem', token])).toMatchObject({ code: 0 });
});

test('a start with a token keeps the configuration 0600 and needs no token the next time', async () => {
  const token = await putToken();
  const first = start(['--token', token], {});
  await first.waitForLine(ready);
  await first.stop();
  const kept = join(home, 'instances/1/join.json');
  expect(statSync(kept).mode & 0o777).toBe(0o600);
  for (const [args, more] of [
    [['--token', token], {}],
    [[], { SALLYPORT_TOKEN: token }],
    [[], {}],
  ] as const) {
    const again = start(args, more);
    await again.waitForLine(ready);
    expect(again.stdout()).toContain('instances/1"');
    await again.stop();
  }
});

test('expired, used, unknown, truncated and misdirected tokens each get their own message', async () => {
  const unknown = `127.0.0.1:${router.port}:${(await newToken()).token}`;
  const good = await putToken();
  const cases: [string, string, number][] = [
    [await putToken('expired'), 'PAM_TOKEN_EXPIRED', 4],
    [await putToken('used'), 'PAM_TOKEN_USED', 4],
    [unknown, 'PAM_TOKEN_UNKNOWN', 3],
    [good.slice(0, -7), 'PAM_TOKEN_INVALID', 2],
    [good.split(':').at(-1) ?? '', 'PAM_TOKEN_INVALID', 2],
    [`127.0.0.1:${await freePort()}:${good.split(':').at(-1)}`, 'PAM_ROUTER_UNREACHABLE', 69],
  ];
  for (const [token, expected, exit] of cases) {
    const { code, stderr } = await run(['redeem', token]);
    expect([stderr.split(': ')[1], code]).toEqual([expected, exit]);
    expect(stderr).not.toContain(good.split(':').at(-1));
  }
});

test('truncated, damaged, foreign and missing configurations each get their own message', async () => {
  const folder = join(home, 'empty');
  await mkdir(folder);
  const foreign = Buffer.from(JSON.stringify({ hostname: 'keepersecurity.com', clientId: 'x' })).toString('base64');
  const cases: [string | undefined, RegExp][] = [
    [joinText.slice(0, 200), /PAM_JOIN_CONFIG_INVALID: .*(truncated|cut off)/i],
    ['!!!!', /PAM_JOIN_CONFIG_INVALID/],
    [foreign, /PAM_JOIN_CONFIG_INVALID/],
    [undefined, /PAM_CONFIG_INVALID: no join configuration/],
  ];
  const messages = new Set<string>();
  for (const [text, pattern] of cases) {
    const { code, stderr } = await run(['start', '--state-dir', folder], { GATEWAY_CONFIG: text });
    expect(code).toBe(2);
    expect(stderr).toMatch(pattern);
    messages.add(stderr);
  }
  expect(messages.size).toBe(cases.length);
});

test('help, version and mistakes have their exit codes', async () => {
  expect(await run(['--version'])).toMatchObject({ code: 0, stdout: '0.1.0\n' });
  expect((await run(['start', '--help'])).stdout).toContain('--no-standby');
  expect(await run(['start', '--nonsense'])).toMatchObject({ code: 2 });
  expect(await run(['dance'])).toMatchObject({ code: 2 });
  expect(await run(['start', '--health-port', 'x'], { GATEWAY_CONFIG: joinText })).toMatchObject({ code: 2 });
});
