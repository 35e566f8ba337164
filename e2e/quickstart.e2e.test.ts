import { createCleanup, startChild, startHttpTarget } from '@sallyport/testkit';
import { afterAll, expect, test, vi } from 'vitest';
import { curl } from './harness/curl.ts';
import { newInstallation } from './harness/installation.ts';
import { cleanEnvironment, repository } from './harness/programs.ts';
import { longMs, patience, until } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
afterAll(() => cleanup.run());

test('quickstart is three commands: it, and the two lines that it prints, as they stand', async () => {
  const target = await startHttpTarget(cleanup.later);
  const installation = await newInstallation(cleanup.later);
  const made = await installation.pam(['quickstart', '--target', `${target.host}:${target.port}`, '-n', 'web1']);
  const [gatewayLine = '', tunnelLine = '', ...more] = made.stdout.trim().split('\n');
  expect(gatewayLine).toMatch(/^GATEWAY_CONFIG=\S+ pam-gateway start$/);
  expect(tunnelLine).toBe('pam tunnel start web1');
  expect(more).toEqual([]);

  const options = {
    cwd: installation.folder,
    env: {
      ...cleanEnvironment,
      SALLYPORT_HOME: installation.home,
      PATH: `${repository}node_modules/.bin:${process.env['PATH'] ?? ''}`,
    },
  };
  const start = (line: string) =>
    startChild(cleanup.later, 'bash', ['-c', `exec env ${line} --exit-with-stdin`], options);
  const instance = start(`${gatewayLine} --log-format json`);
  await instance.waitForLine(/"msg":"ready"/, { withinMs: longMs });
  const tunnel = start(tunnelLine);
  const [, local = ''] = await tunnel.waitForLine(/^(127\.0\.0\.1:\d+) → web1/, { withinMs: longMs });
  expect(await curl(`http://${local}/`)).toMatchObject({ code: 0 });
  expect(target.requests).toHaveLength(1);

  // On a busy machine a member may be suspect for a moment, and is shown so.
  const online = () =>
    until('it is online', async () => {
      const { stdout } = await installation.pam(['gateway', 'list']);
      return stdout.includes('ONLINE (1/3)') ? stdout : null;
    });
  const list = await online();
  // A second time would mean another gateway of the same name: it is refused before anything is made.
  const again = await installation.pam(['quickstart', '--target', '127.0.0.1:1', '-n', 'web1'], { code: 4 });
  expect(again.stderr).toContain('PAM_CONFLICT');
  expect(await online()).toBe(list);
});
