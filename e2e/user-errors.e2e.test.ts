import { connect } from 'node:net';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createCleanup, freePort, startHttpTarget } from '@sallyport/testkit';
import { errorCatalog, type ErrorCode } from '@sallyport/protocol';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import { runProgram, type Run } from './harness/programs.ts';
import { startRouter } from './harness/router.ts';
import { patience } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
let installation: Installation;
let config: string;
/** Another router of another owner; it dies near the end of this file. */
let foreign: Installation;
let foreignConfig: Readonly<Record<string, unknown>>;

beforeAll(async () => {
  const target = await startHttpTarget(cleanup.later);
  [installation, foreign] = await Promise.all([newInstallation(cleanup.later), newInstallation(cleanup.later)]);
  config = await withPool(installation);
  await foreign.pam(['app', 'new', 'prod']);
  foreignConfig = decodeConfig(await foreign.newGateway('dc1', 'prod', 1));
  await newMachine(installation, 'web1', target);
  await newMachine(installation, 'closed', { host: '127.0.0.1', port: await freePort() });
  await newMachine(installation, 'nameless', { host: 'no-such-host.invalid', port: 80 });
  await newMachine(installation, 'switched-off', target, ['--tunneling', 'off']);
  await installation.startInstance('one', config).id();
});
afterAll(() => cleanup.run());

function decodeConfig(text: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(text, 'base64').toString()) as Record<string, unknown>;
}

/** The code, the remedy of the catalogue or a better one, and the exit code of the catalogue: all three, every time. */
function expectError(run: Run, code: ErrorCode): void {
  expect(run.stderr).toContain(code);
  // `pam` says "remedy:", the other two put it on a line of its own.
  expect(run.stderr).toMatch(/(?:remedy: |\n +|\n)[A-Z][^\n]+\.(?: \(PAM_\w+\))?\n$/);
  expect(run.code).toBe(errorCatalog[code].exit);
  expect(run.stdout).toBe('');
}

/** One connection on standard input and output: its error is the exit code of `pam`. */
const stdio = (record: string, args: readonly string[] = []): Promise<Run> =>
  installation.pam(['tunnel', 'start', '--stdio', record, ...args], { code: null, input: '' });

test('a target that refuses is said to refuse', async () => {
  expectError(await stdio('closed'), 'PAM_TARGET_REFUSED');
});

test('a name that does not resolve at the gateway is said so', async () => {
  expectError(await stdio('nameless'), 'PAM_TARGET_NAME_UNKNOWN');
});

test('a target to which no way leads is said to be unreachable', async () => {
  // TCP has no way to a group of hosts: the kernel says so at once, on every machine, and sends nothing.
  await installation.pam(['config', 'edit', 'dc1-net', '--network', '224.0.0.0/4']);
  await newMachine(installation, 'nowhere', { host: '224.0.0.1', port: 80 });
  expectError(await stdio('nowhere'), 'PAM_TARGET_UNREACHABLE');
});

test('a record that switches tunneling off is refused before anything is dialled', async () => {
  expectError(await stdio('switched-off'), 'PAM_PERMISSION_OFF');
});

test('a special address outside the networks of its configuration is refused when the record is written', async () => {
  const args = ['record', 'new', 'pamMachine', '-n', 'metadata', '-a', 'prod', '-c', 'dc1-net', '--port', '80'];
  const refused = await installation.pam([...args, '--host', '169.254.169.254'], { code: null });
  expectError(refused, 'PAM_TARGET_NOT_ALLOWED');
  for (const host of ['10.0.0.5', '192.168.1.1', '::1']) {
    const run = await installation.pam([...args, '--host', host], { code: null });
    expectError(run, 'PAM_TARGET_NOT_ALLOWED');
    expect(run.stderr).toContain('--network');
  }
  for (const host of ['127.1', '2852039166', '0x7f000001', '0']) {
    expect((await installation.pam([...args, '--host', host], { code: null })).code).toBe(2);
  }
});

test('an address supplied where the record does not allow one is refused', async () => {
  const run = await stdio('web1', ['--target-host', '127.0.0.1', '--target-port', '22']);
  expect(run.code).toBe(5);
  expect(run.stderr).toMatch(/PAM_(PERMISSION_OFF|TARGET_NOT_ALLOWED)/);
});

test('the router itself is never dialled, even where its network is allowed', async () => {
  await newMachine(installation, 'router', { host: '127.0.0.1', port: installation.router.port });
  expectError(await stdio('router'), 'PAM_TARGET_NOT_ALLOWED');
});

test('what does not exist is not found; what was mistyped is a usage error', async () => {
  expectError(await stdio('nothing-of-this-name'), 'PAM_NOT_FOUND');
  expectError(await installation.pam(['gateway', 'lst'], { code: null }), 'PAM_USAGE');
  expectError(
    await installation.pam(['gateway', 'set-max-instances', '-g', 'dc1', '-m', '0'], { code: null }),
    'PAM_USAGE',
  );
});

test('errors in json mode are one line of JSON on standard error', async () => {
  const run = await installation.pam(['record', 'get', 'nothing', '--format', 'json'], { code: 3 });
  expect(run.stdout).toBe('');
  expect(JSON.parse(run.stderr)).toMatchObject({ error: { code: 'PAM_NOT_FOUND' } });
});

test('a gateway without a ready instance is said to have none', async () => {
  await installation.newGateway('dc2', 'prod', 1);
  await installation.pam([
    ...['config', 'new', '-n', 'dc2-net', '-a', 'prod', '-g', 'dc2', '--network', '127.0.0.0/8', '--tunneling', 'on'],
  ]);
  await installation.pam([
    ...[
      'record',
      'new',
      'pamMachine',
      '-n',
      'lonely',
      '-a',
      'prod',
      '-c',
      'dc2-net',
      '--host',
      '127.0.0.1',
      '--port',
      '22',
    ],
  ]);
  expectError(await stdio('lonely'), 'PAM_POOL_NO_READY_INSTANCE');
});

test('a wrong password and a wrong account secret are told apart', async () => {
  const kit = JSON.parse(readFileSync(installation.kitFile, 'utf8')) as { readonly account_secret: string };
  const otherHome = { SALLYPORT_HOME: join(installation.folder, 'other-home') };
  const login = (password: string, secret: string): Promise<Run> =>
    runProgram('pam', ['login', installation.router.address, 'anna', '--password-stdin'], {
      env: otherHome,
      input: `${password}\n${secret}\n`,
    });
  expectError(await login('not the password at all', kit.account_secret), 'PAM_SIGN_IN_FAILED');
  const wrong = await login(
    'correct horse battery staple 7',
    kit.account_secret.replace(/[0-9A-Z]/, (c) => (c === '2' ? '3' : '2')),
  );
  expect(wrong.code).not.toBe(0);
  expect(wrong.stderr).toMatch(/PAM_(ACCOUNT_SECRET_WRONG|USAGE)/);
});

test('tokens: each way of being wrong has an error of its own', async () => {
  const token = async (name: string, args: readonly string[] = []): Promise<string> =>
    (await installation.pam(['gateway', 'new', '-n', name, '-a', 'prod', ...args])).stdout
      .trim()
      .split('\n')
      .at(-1)
      ?.trim() ?? '';
  const redeem = (text: string): Promise<Run> =>
    runProgram('pam-gateway', ['redeem', '-'], { input: text, env: { SALLYPORT_HOME: installation.home } });
  const whole = await token('by-token');
  expectError(await redeem(whole.slice(0, -9)), 'PAM_TOKEN_INVALID');
  expectError(await redeem(whole.replace(/:[\w-]{43}$/, `:${'A'.repeat(43)}`)), 'PAM_TOKEN_UNKNOWN');
  expect((await redeem(whole)).code).toBe(0);
  expectError(await redeem(whole), 'PAM_TOKEN_USED');

  const late = await token('too-late', ['-e', '1']);
  const database = new DatabaseSync(join(installation.dataDir, 'router.sqlite'), { timeout: 20_000 });
  // A minute is the shortest life: the clock is moved for the token instead.
  database.exec('update token set expires_ms = 1 where redeemer is null');
  database.close();
  expectError(await redeem(late), 'PAM_TOKEN_EXPIRED');

  // With an address in front of it where nobody is.
  const elsewhere = late.replace(/^[^:]+:\d+/, `127.0.0.1:${await freePort()}`);
  expectError(await redeem(elsewhere), 'PAM_ROUTER_UNREACHABLE');
});

test('configurations: truncated, altered, of another installation and of a removed gateway are told apart', async () => {
  const start = (text: string): Promise<Run> =>
    runProgram('pam-gateway', ['start', '--state-dir', join(installation.folder, 'never'), '--log-format', 'json'], {
      env: { GATEWAY_CONFIG: text, SALLYPORT_HOME: installation.home },
    });
  const expectRefused = (run: Run, code: ErrorCode): void => {
    expect(run.stderr).toContain(code);
    expect(run.code).toBe(errorCatalog[code].exit);
  };
  expectRefused(await start(config.slice(0, 200)), 'PAM_JOIN_CONFIG_INVALID');
  expectRefused(await start('not a configuration'), 'PAM_JOIN_CONFIG_INVALID');
  expectRefused(await start(''), 'PAM_CONFIG_INVALID');

  const plain = decodeConfig(config);
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');
  // Our installation's name on another router's address: its key is not the pinned one.
  expectRefused(await start(encode({ ...plain, routers: foreignConfig['routers'] })), 'PAM_ROUTER_IMPOSTOR');
  // A foreign configuration pointed at us, pins and all: its anchor is not ours.
  const stranger = await start(encode({ ...foreignConfig, routers: plain['routers'], pins: plain['pins'] }));
  expect(stranger.code).not.toBe(0);
  expect(stranger.stderr).toMatch(/PAM_(TRUST_ANCHOR|INSTANCE_REFUSED|GATEWAY_REMOVED|NOT_FOUND)/);

  const removed = await installation.newGateway('short-lived', 'prod', 1);
  await installation.pam(['gateway', 'remove', '-g', 'short-lived', '--yes']);
  expectRefused(await start(removed), 'PAM_GATEWAY_REMOVED');
});

test('a setup code that is mistyped, used or of another router is refused', async () => {
  const setup = (args: readonly string[]): Promise<Run> =>
    runProgram(
      'pam',
      ['setup', ...args, '--name', 'eve', '--password-stdin', '--save-kit', join(installation.folder, 'eve.json')],
      {
        env: { SALLYPORT_HOME: join(installation.folder, 'eve') },
        input: 'a password of eve\n',
      },
    );
  const [address = '', code = ''] = installation.router.setupArgs ?? [];
  expectError(await setup([address, code]), 'PAM_ROUTER_CLAIMED');
  expectError(
    await setup([address, `${code.slice(0, -1)}${code.endsWith('A') ? 'B' : 'A'}`]),
    'PAM_SETUP_CODE_INVALID',
  );
  const fresh = await startRouter(cleanup.later, { dataDir: join(installation.folder, 'fresh') });
  expectError(await setup([fresh.address, code]), 'PAM_ROUTER_IMPOSTOR');
});

test('a router that is down is said to be down, by pam and without hanging', async () => {
  await foreign.router.kill();
  expectError(await foreign.pam(['gateway', 'list'], { code: null }), 'PAM_ROUTER_UNREACHABLE');
});

test('an impostor on the same port with another key is refused, and nothing was sent to it', async () => {
  // The router of the test before is dead; another one listens where it was.
  await startRouter(cleanup.later, { dataDir: join(foreign.folder, 'impostor'), port: foreign.router.port });
  expectError(await foreign.pam(['gateway', 'list'], { code: null }), 'PAM_ROUTER_IMPOSTOR');
});

test('rubbish on the port costs one connection, never the router', async () => {
  const rubbish = [
    Buffer.alloc(100_000, 0x41),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.from([0x16, 3, 1, 255, 255]),
    Buffer.alloc(0),
  ];
  for (const bytes of rubbish) {
    const socket = connect(installation.router.port, '127.0.0.1');
    await new Promise<void>((resolve) => {
      socket.on('error', () => resolve()).on('close', () => resolve());
      socket.end(bytes).resume();
    });
  }
  expect((await installation.pam(['gateway', 'list'])).code).toBe(0);
});
