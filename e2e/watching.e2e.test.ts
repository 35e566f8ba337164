import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { alertMessageSchema } from '@sallyport/protocol';
import {
  createCleanup,
  freePort,
  programPath,
  readMetrics,
  runChild,
  startHttpTarget,
  startWebhookReceiver,
  tempDir,
} from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { curl } from './harness/curl.ts';
import { type Installation, newInstallation } from './harness/installation.ts';
import type { Instance } from './harness/instance.ts';
import { cleanEnvironment, startProgram } from './harness/programs.ts';
import { longMs, patience, until } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
/** Stand in sealed parts only; found in no figure and no alert. */
const canaries = ['canary-title-7f3a', 'canary-gateway-91bc', 'canary-app-55de'] as const;
const [title, gatewayName, appName] = canaries;
let receiver: Awaited<ReturnType<typeof startWebhookReceiver>>;
let installation: Installation;
let metricsPort: number;
let config: string;
let instances: Instance[] = [];

beforeAll(async () => {
  receiver = await startWebhookReceiver(cleanup.later);
  metricsPort = await freePort();
  const secretFile = join(tempDir(cleanup.later), 'secret');
  writeFileSync(secretFile, 'a secret shared with the receiver\n');
  installation = await newInstallation(cleanup.later, [
    ...['--metrics-listen', String(metricsPort), '--alert-url', receiver.url, '--alert-secret-file', secretFile],
    ...['--grace-ms', '1000', '--alert-grace', '2', '--alert-on', 'gateway-offline'],
  ]);
  await installation.pam(['app', 'new', appName]);
  config = await installation.newGateway(gatewayName, appName, 2);
  instances = ['one', 'two'].map((name) => installation.startInstance(name, config));
  await Promise.all(instances.map((instance) => instance.id()));
});
afterAll(() => cleanup.run());

/** Each message once: a router that is killed before it knew that one arrived sends it again, under the same id. */
const messages = () => [
  ...new Map(
    receiver.posts
      .map(({ body }) => alertMessageSchema.parse(JSON.parse(body)))
      .map((message) => [message.delivery, message]),
  ).values(),
];
const statuses = (): string[] => messages().map(({ status }) => status);
async function scrape(): Promise<string> {
  return (await curl(`http://127.0.0.1:${metricsPort}/metrics`)).body;
}

test('when all instances die the webhook hears it once, also over a restart of the router, and hears of the return', async () => {
  await until(
    'both are shown as ready',
    async () => readMetrics(await scrape()).value('sallyport_pool_members', { state: 'ready' }) === 2,
  );
  await Promise.all(instances.map((instance) => instance.kill('SIGKILL')));
  await until('the alert', () => statuses().length > 0);
  expect(messages()[0]).toMatchObject({ status: 'firing', kind: 'gateway-offline', severity: 'critical' });
  await installation.restartRouter('SIGKILL');
  installation.startInstance('three', config);
  await until('the end of the alert', () => statuses().includes('resolved'));
  expect(statuses()).toEqual(['firing', 'resolved']);
  expect(messages()[1]).toMatchObject({ resolution: 'cleared', firedAt: messages()[0]?.firedAt });
  expect(receiver.posts.every(({ headers }) => 'sallyport-signature' in headers)).toBe(true);
});

test('figures and alerts hold no title, host, login or name of a person', async () => {
  const target = await startHttpTarget(cleanup.later);
  await installation.pam([
    ...['config', 'new', '-n', 'dc1-net', '-a', appName, '-g', gatewayName],
    ...['--network', '127.0.0.0/8', '--tunneling', 'on'],
  ]);
  await installation.pam([
    ...['record', 'new', 'pamMachine', '-n', title, '-a', appName, '-c', 'dc1-net'],
    ...['--host', target.host, '--port', String(target.port)],
  ]);
  const tunnel = await installation.openTunnel(title);
  expect((await curl(`http://${tunnel.host}:${tunnel.port}/`)).code).toBe(0);
  const figures = await scrape();
  expect(readMetrics(figures).value('sallyport_dispatches_total', { outcome: 'placed' })).toBeGreaterThan(0);
  const said = figures + JSON.stringify(receiver.posts);
  for (const canary of [...canaries, 'anna', String(target.port)]) expect(said).not.toContain(canary);
  expect(installation.router.child.stderr()).not.toContain('secret-path');
});

test('pam gateway list --watch tells each change, goes on while the router is away, and ends on Ctrl-C with 130', async () => {
  const env = { SALLYPORT_HOME: installation.home };
  const args = ['gateway', 'list', '--watch', '--interval', '1', '--format', 'json'];
  const watching = startProgram(cleanup.later, 'pam', args, { env });
  const looks = (): readonly Readonly<Record<string, unknown>>[] =>
    watching
      .stdout()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  await until('a first look', () => looks().length > 0);
  const four = installation.startInstance('four', config);
  const id = await four.id();
  await until('the newcomer', () => JSON.stringify(looks().map(({ changes }) => changes)).includes(id));
  installation.router.child.kill('SIGSTOP');
  await until('a silent router is away', () => looks().at(-1)?.['router'] === 'away');
  installation.router.child.kill('SIGCONT');
  await until('it is back', () => looks().at(-1)?.['router'] === 'ok');
  const before = looks().length;
  await installation.router.kill('SIGKILL');
  const away = await until('the router is away', () =>
    looks().findLast(({ router }, at) => at >= before && router === 'away'),
  );
  expect(away).toMatchObject({ error: { code: 'PAM_ROUTER_UNREACHABLE' }, gateways: [{ gateway_name: gatewayName }] });
  await installation.restartRouter('SIGKILL');
  await until('the router is back', () => looks().at(-1)?.['router'] === 'ok');
  watching.kill('SIGINT');
  expect((await watching.exited).code).toBe(130);
  expect(watching.stderr()).toBe('');

  const cut = await runChild(
    '/bin/sh',
    ['-c', `${process.execPath} ${programPath('pam')} ${args.join(' ')} | head -n 1`],
    {
      env: { ...cleanEnvironment, ...env },
      withinMs: longMs,
    },
  );
  expect([cut.code, cut.stdout.split('\n').length, cut.stderr]).toEqual([0, 2, '']);
});
