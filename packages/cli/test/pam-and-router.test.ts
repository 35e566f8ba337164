import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCatalog, type ErrorCode } from '@sallyport/protocol';
import {
  type Child,
  compileCache,
  createCleanup,
  freePort,
  programPath,
  runChild,
  startChild,
  tempDir,
} from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

/** The real programs: a router in a process of its own, `pam` as its users call it. */
const cleanup = createCleanup();
const password = 'correct horse battery';
let folder: string;
let port: number;
let router: Child;

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function pam(args: readonly string[], input = '', env: Record<string, string> = {}): Promise<Ran> {
  const home = join(folder, 'home');
  return runChild(process.execPath, [programPath('pam'), ...args], {
    input,
    env: { SALLYPORT_HOME: home, ...compileCache(), ...env },
  });
}
async function ok(args: readonly string[], input = ''): Promise<string> {
  const ran = await pam(args, input);
  expect(ran).toMatchObject({ code: 0 });
  return ran.stdout;
}
async function json(args: readonly string[], input = ''): Promise<Record<string, unknown>> {
  const parsed: unknown = JSON.parse(await ok([...args, '--format', 'json'], input));
  return parsed as Record<string, unknown>;
}
function refused(ran: Ran, code: ErrorCode): void {
  expect(ran.stderr).toContain(`(${code})`);
  expect(ran).toMatchObject({ code: errorCatalog[code].exit, stdout: '' });
}
function startRouter(dataDir: string): Child {
  const args = ['start', '--data-dir', dataDir, '--listen', '127.0.0.1', '--port', String(port), '--exit-with-stdin'];
  return startChild(cleanup.later, process.execPath, [programPath('pam-router'), ...args]);
}

beforeAll(async () => {
  folder = tempDir(cleanup.later);
  port = await freePort();
  router = startRouter(join(folder, 'data'));
  const [, address = '', code = ''] = await router.waitForLine(/pam setup (\S+) (\S+)/);
  const ran = await pam(
    ['setup', address, code, '--name', 'Anna', '--password-stdin', '--save-kit', join(folder, 'kit.json')],
    `${password}\n`,
  );
  expect(ran).toMatchObject({ code: 0 });
});
afterAll(async () => cleanup.run());

test('setup leaves a kit and a profile that only their owner can read, and a claimed router', async () => {
  expect(statSync(join(folder, 'kit.json')).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, 'home', 'profiles', 'default')).mode & 0o777).toBe(0o700);
  expect(await json(['whoami'])).toMatchObject({ name: 'anna', profile: 'default', router: `127.0.0.1:${port}` });
  const code = [
    'setup',
    `127.0.0.1:${port}`,
    'x',
    '--name',
    'eve',
    '--password-stdin',
    '--save-kit',
    join(folder, 'kit.json'),
  ];
  expect((await pam(code, `${password}\n`)).code).not.toBe(0);
  expect(JSON.parse(readFileSync(join(folder, 'kit.json'), 'utf8'))).toMatchObject({ name: 'anna' });
});

test('lists of nothing are JSON and say what to do next', async () => {
  const ran = await pam(['gateway', 'list', '--format', 'json']);
  expect(JSON.parse(ran.stdout)).toEqual({ gateways: [] });
  expect(ran.stderr).toContain('pam gateway new');
  expect(await json(['record', 'list'])).toEqual({ records: [] });
  expect(await json(['tunnel', 'list'])).toEqual({ tunnels: [] });
});

test('from an application to a record, with every name sealed and read back', async () => {
  await ok(['app', 'new', 'prod']);
  await ok(['gateway', 'new', '-n', 'dc1', '-a', 'prod', '-m', '3', '-c', 'b64', '-o', join(folder, 'dc1.conf')]);
  expect(statSync(join(folder, 'dc1.conf')).mode & 0o777).toBe(0o600);
  refused(
    await pam(['gateway', 'new', '-n', 'dc2', '-a', 'prod', '-c', 'b64', '-o', join(folder, 'dc1.conf')]),
    'PAM_CONFLICT',
  );
  refused(await pam(['gateway', 'new', '-n', 'dc1', '-a', 'prod']), 'PAM_CONFLICT');
  await ok(['config', 'new', '-n', 'net', '-a', 'prod', '-g', 'dc1', '--tunneling', 'on', '--network', '10.0.0.0/24']);
  const user = (
    await ok(
      ['record', 'new', 'pamUser', '-n', 'root', '-a', 'prod', '--login', 'root', '--password-stdin'],
      's3cret-planted\n',
    )
  ).trim();
  const machine = [
    'record',
    'new',
    'pamMachine',
    '-n',
    'web1',
    '-a',
    'prod',
    '-c',
    'net',
    '--host',
    '10.0.0.5',
    '--port',
    '22',
  ];
  const made = await json([...machine, '--credential', 'root:admin']);
  expect(made).toMatchObject({ title: 'web1', fields: { credentials: [{ record: user, role: 'admin' }] } });
  const masked = await pam(['record', 'get', 'root', '--format', 'json']);
  expect(masked.stdout).not.toContain('s3cret-planted');
  expect(JSON.parse(masked.stdout)).toMatchObject({ fields: { usableOn: [{ host: '10.0.0.5', port: 22 }] } });
  expect(await json(['record', 'get', 'root', '--unmask'])).toMatchObject({ secrets: { password: 's3cret-planted' } });
});

test('an edit keeps the rest, warns about credentials it cuts off, and earlier revisions can be read', async () => {
  const edited = await pam(['record', 'edit', 'web1', '--port', '2222']);
  expect(edited.stderr).toContain('not signed for this endpoint');
  expect(await json(['record', 'get', 'web1'])).toMatchObject({
    revision: 2,
    fields: { port: 2222, host: '10.0.0.5' },
  });
  expect(await json(['record', 'get', 'web1', '--version', '1'])).toMatchObject({ revision: 1, fields: { port: 22 } });
  expect(await json(['record', 'history', 'web1'])).toMatchObject({
    versions: [{ revision: 2, changed: ['port'] }, { revision: 1 }],
  });
});

test('tunnel edit seals the switch in the record, keeps the local port here, and says when the configuration forbids', async () => {
  expect(await json(['tunnel', 'edit', 'web1'])).toMatchObject({
    ...{ revision: 2, tunneling: 'default', config_tunneling: 'on', effective: 'on', local_port: null },
  });
  expect(await json(['tunnel', 'edit', 'web1', '--tunneling', 'off', '--local-port', '15022'])).toMatchObject({
    ...{ revision: 3, tunneling: 'off', effective: 'off', local_port: 15_022 },
  });
  expect(await json(['record', 'get', 'web1'])).toMatchObject({ fields: { permissions: { tunneling: 'off' } } });
  refused(await pam(['tunnel', 'start', 'web1']), 'PAM_PERMISSION_OFF');
  await ok(['config', 'edit', 'net', '--tunneling', 'off']);
  const stays = await pam(['tunnel', 'edit', 'web1', '--tunneling', 'on']);
  expect(stays.stderr).toContain('the PAM configuration is the ceiling');
  await ok(['config', 'edit', 'net', '--tunneling', 'on']);
  expect(await json(['tunnel', 'edit', 'web1', '--local-port', 'none'])).toMatchObject({
    ...{ revision: 4, effective: 'on', local_port: null },
  });
  refused(await pam(['tunnel', 'edit', 'web1', '--local-port', '0']), 'PAM_USAGE');
  refused(await pam(['tunnel', 'edit', 'root', '--tunneling', 'on']), 'PAM_NOT_FOUND');
});

test('tunnel diagnose says step by step where it ends, and its exit code is that of the first failure', async () => {
  const ran = await pam(['tunnel', 'diagnose', 'web1', '--format', 'json']);
  const report = JSON.parse(ran.stdout) as { healthy: boolean; checks: { id: string; status: string; code: string }[] };
  expect(report.checks.map((check) => `${check.id} ${check.status}`)).toEqual([
    ...['profile ok', 'sign-in ok', 'name ok', 'port ok', 'key ok', 'api ok', 'clock ok', 'trust-log ok'],
    ...['record ok', 'gateway failed', 'session skipped'],
  ]);
  expect(report.checks.find((check) => check.status === 'failed')?.code).toBe('PAM_POOL_NO_READY_INSTANCE');
  expect(ran.code).toBe(errorCatalog.PAM_POOL_NO_READY_INSTANCE.exit);
  const closed = await freePort();
  const file = join(folder, 'home', 'profiles', 'default', 'profile.json');
  const profile = readFileSync(file, 'utf8');
  writeFileSync(file, profile.replace(`:${port}"`, `:${closed}"`));
  const away = await pam(['tunnel', 'diagnose', 'web1']);
  writeFileSync(file, profile);
  expect(away.stdout).toMatch(/^failed +router port: no connection to .*ECONNREFUSED/m);
  expect(away.stdout).toMatch(/^skipped +router key: not tried/m);
  expect(away.code).toBe(errorCatalog.PAM_ROUTER_UNREACHABLE.exit);
});

test('ssh-config names the proxy it was run with, and never a password', async () => {
  const config = async (proxy: string) => pam(['ssh-config', 'web1', '--proxy', proxy]);
  expect((await config('none')).stdout).toMatch(/ProxyCommand .* --profile default --proxy none tunnel start /);
  const secret = await pam(['ssh-config', 'web1'], '', {
    SALLYPORT_PROXY: 'http://anna:hunter2@127.0.0.1:1',
    NO_PROXY: '127.0.0.1',
  });
  expect(secret.code).toBe(0);
  expect(secret.stdout + secret.stderr).not.toContain('hunter2');
  expect(secret.stderr).toContain('SALLYPORT_PROXY');
});

test('gateway rekey prints a new configuration, voids the old one, and lists what was readable', async () => {
  refused(await pam(['gateway', 'rekey', '-g', 'dc1']), 'PAM_USAGE');
  const file = join(folder, 'dc1-new.conf');
  const rekeyed = await json(['gateway', 'rekey', '-g', 'dc1', '--yes', '-o', file]);
  expect(rekeyed).toMatchObject({
    ...{ gateway_name: 'dc1', instances_cut: 0, output: file },
    to_rotate: [{ title: 'root', login: 'root', usable_on: ['10.0.0.5:22'] }],
  });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const config = (text: string) =>
    JSON.parse(Buffer.from(text, 'base64').toString()) as { gateway: string; floor: { n: number }; signKey: object };
  const [before, after] = ['dc1.conf', 'dc1-new.conf'].map((name) => config(readFileSync(join(folder, name), 'utf8')));
  expect(after?.gateway).toBe(before?.gateway);
  expect(after?.signKey).not.toEqual(before?.signKey);
  expect(after?.floor.n).toBeGreaterThan(before?.floor.n ?? 0);
  const { entries } = (await json(['trust', 'log'])) as { entries: { n: number; kind: string }[] };
  expect(entries.find((entry) => entry.n === after?.floor.n)?.kind).toBe('gateway-rekeyed');
  const printed = await pam(['gateway', 'rekey', '-g', 'dc1', '--yes', '-c', 'json']);
  expect(JSON.parse(printed.stdout)).toMatchObject({ gateway: after?.gateway });
  expect(printed.stderr).toMatch(/Change these at their targets[\s\S]*root/);
  refused(await pam(['gateway', 'rekey', '-g', 'dc1', '--yes', '-o', file]), 'PAM_CONFLICT');
});

test('what others depend on is not removed, nothing is removed unasked, and names are not guessed', async () => {
  refused(await pam(['gateway', 'remove', '-g', 'dc1', '--yes']), 'PAM_IN_USE');
  refused(await pam(['config', 'remove', 'net', '--yes']), 'PAM_IN_USE');
  refused(await pam(['record', 'remove', 'web1']), 'PAM_USAGE');
  refused(await pam(['record', 'get', 'WEB1']), 'PAM_NOT_FOUND');
  await ok(['record', 'new', 'pamMachine', '-n', 'web1', '-a', 'prod', '--host', 'other.example', '--port', '22']);
  const twice = await pam(['record', 'get', 'web1']);
  refused(twice, 'PAM_AMBIGUOUS');
  const [uid = ''] = /[A-Za-z][\w-]{21}/.exec(twice.stderr) ?? [];
  await ok(['record', 'remove', uid, '--yes']);
  expect(await json(['record', 'get', 'web1'])).toMatchObject({ title: 'web1' });
});

test('an import makes one row for each line; a dry run writes nothing', async () => {
  const template = JSON.parse(await ok(['record', 'template', 'pamMachine'])) as Record<string, unknown>;
  const line = { ...template, configuration: 'net', host: '10.0.0.6', credentials: ['fresh'] };
  const lines = [
    { type: 'pamUser', title: 'fresh' },
    { ...line, title: 'web6' },
    { ...line, title: 'bad', port: 0 },
    'x',
  ];
  const file = join(folder, 'lines.jsonl');
  writeFileSync(file, lines.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join('\n'));
  const before = (await json(['record', 'list']))['records'] as unknown[];
  for (const [flags, made] of [
    [['--dry-run'], 'would be made'],
    [[], 'made'],
  ] as const) {
    const ran = await pam(['record', 'import', file, ...flags, '--format', 'json']);
    expect(ran.code).toBe(2);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      rows: [{ result: made }, { result: made }, { result: 'refused' }, { result: 'refused' }],
    });
    const after = (await json(['record', 'list']))['records'] as unknown[];
    expect(after).toHaveLength(before.length + (made === 'made' ? 2 : 0));
  }
});

test('eight commands at once sign one chain: nothing is lost, and the audit log verifies', async () => {
  const names = Array.from({ length: 8 }, (_, n) => `app-${n}`);
  const made = await Promise.all(names.map(async (name) => pam(['app', 'new', name])));
  expect(made.map((ran) => ran.stderr.split('\n')[0])).toEqual(
    names.map((name) => `Application “${name}” is made. Next: pam gateway new -n NAME -a ${name}`),
  );
  expect(await json(['audit', 'verify'])).toMatchObject({ verified: true });
  expect(await json(['trust', 'verify'])).toMatchObject({ verified: true, applications: 9 });
});

test('a second device reads everything after its login, and leaves nothing but what it saw after logout', async () => {
  const login = [
    '--profile',
    'second',
    'login',
    '--kit',
    join(folder, 'kit.json'),
    '--password-stdin',
    '--device-label',
    'laptop',
  ];
  refused(await pam(login, 'wrong\n'), 'PAM_SIGN_IN_FAILED');
  await ok(login, `${password}\n`);
  expect(await ok(['--profile', 'second', 'record', 'list'])).toContain('web1');
  expect(await json(['device', 'list'])).toMatchObject({ devices: [{}, { label: 'laptop', removed: false }] });
  await ok(['--profile', 'second', 'logout']);
  refused(await pam(['--profile', 'second', 'whoami']), 'PAM_NOT_SIGNED_IN');
  refused(await pam(['--profile', 'third', 'whoami']), 'PAM_PROFILE_MISSING');
});

test('usage errors, errors in JSON and exit codes are what scripts can trust', async () => {
  refused(await pam(['gateway', 'lst']), 'PAM_USAGE');
  const ran = await pam(['record', 'get', 'nothing', '--format', 'json']);
  expect(ran).toMatchObject({ code: 3, stdout: '' });
  expect(JSON.parse(ran.stderr)).toMatchObject({ error: { code: 'PAM_NOT_FOUND' } });
});

test('with the router down: an error, and with -f the list last seen with its age; after kill -9 everything is back', async () => {
  await ok(['gateway', 'list']);
  router.kill('SIGKILL');
  await router.exited;
  refused(await pam(['gateway', 'list']), 'PAM_ROUTER_UNREACHABLE');
  const last = await pam(['gateway', 'list', '-f']);
  expect(last).toMatchObject({ code: 69 });
  expect(last.stdout).toMatch(/dc1 .*UNKNOWN/);
  expect(last.stderr).toMatch(/This list is \d+ s old/);
  router = startRouter(join(folder, 'data'));
  await router.waitForLine(/ready on/);
  expect(await ok(['record', 'list'])).toContain('web1');
  expect(await json(['audit', 'verify'])).toMatchObject({ verified: true });
});

test('another router in its place is refused, and so is a restored older one', async () => {
  router.kill('SIGKILL');
  await router.exited;
  router = startRouter(join(folder, 'impostor'));
  await router.waitForLine(/ready on/);
  refused(await pam(['gateway', 'list']), 'PAM_ROUTER_IMPOSTOR');
});
