import { fileURLToPath } from 'node:url';
import { createCleanup, oneWay, requireNetworkLab, startChild, startNetworkLab } from '@sallyport/testkit';
import { afterAll, expect, test, vi } from 'vitest';
import { newInstallation } from './harness/installation.ts';
import { cleanEnvironment, startProgram } from './harness/programs.ts';
import { startTrafficTarget } from './harness/traffic.ts';
import { longMs, patience } from './harness/until.ts';

vi.setConfig(patience);

const { isMissing } = requireNetworkLab();
const cleanup = createCleanup();
afterAll(() => cleanup.run());

const proxyScript = fileURLToPath(new URL('traffic/proxy.ts', import.meta.url));
const password = 'proxy-password-canary';

test.skipIf(isMissing)('gateway and pam that can reach nothing but a proxy carry a tunnel through it', async () => {
  const lab = startNetworkLab(cleanup.later, ['router', 'proxy', 'site', 'desk', 'target']);
  const [router, site, desk] = [lab.host('router'), lab.host('site'), lab.host('desk')];
  const target = await startTrafficTarget(cleanup.later, lab.host('target'));
  const proxyHost = lab.host('proxy');
  const proxy = startChild(cleanup.later, process.execPath, [proxyScript, proxyHost.address, `lab:${password}`], {
    env: cleanEnvironment,
    within: proxyHost.within,
  });
  const [, port] = await proxy.waitForLine(/"listening":(\d+)/, { withinMs: longMs });
  const place = `${proxyHost.address}:${port}`;
  const env = { HTTPS_PROXY: `http://lab:${password}@${place}`, NO_PROXY: '192.168.0.0/16' };

  const installation = await newInstallation(cleanup.later, [], { router, user: desk });
  // From here on neither machine gets a packet to the router or from it.
  for (const host of [site, desk]) {
    host.setFaults([{ kind: 'unreachable', direction: 'out', peer: router.address }, oneWay('in', router.address)]);
  }
  // Streams of the desk inside TLS and WebSocket, those of the site as they are: the proxy passes both.
  const pam = async (...args: string[]) => installation.pam(args, { env: { ...env, SALLYPORT_CARRIER: 'websocket' } });
  await pam('app', 'new', 'prod');
  const { stdout: token } = await pam('gateway', 'new', '-n', 'dc1', '-a', 'prod', '-m', '1');
  await pam(
    ...['config', 'new', '-n', 'dc1-net', '-a', 'prod', '-g', 'dc1', '--network', '10.77.0.0/24', '--tunneling', 'on'],
  );
  const machine = ['--host', target.host, '--port', String(target.port)];
  await pam('record', 'new', 'pamMachine', '-n', 'web1', '-a', 'prod', '-c', 'dc1-net', ...machine);

  const gateway = startProgram(
    cleanup.later,
    'pam-gateway',
    [
      'start',
      '--state-dir',
      `${installation.folder}/site`,
      '--carrier',
      'auto',
      '--log-format',
      'json',
      '--exit-with-stdin',
    ],
    { env: { ...env, SALLYPORT_TOKEN: token.trim() }, within: site.within },
  );
  await gateway.waitForLine(/"msg":"ready"/, { withinMs: longMs });
  const command = 'curl -sS --noproxy "*" http://127.0.0.1:$PAM_TUNNEL_PORT/';
  const run = await pam('tunnel', 'start', 'web1', '--run', command);
  expect(run.stdout).not.toBe('');
  expect(target.accepted()).toEqual([site.address]);

  const asked = [...proxy.stdout().matchAll(/"asked":"([^"]*)"/g)].map(([, one]) => one);
  expect(new Set(asked)).toEqual(new Set([installation.router.address]));
  const said = gateway.stdout() + gateway.stderr() + run.stderr;
  expect(said).toContain(`http://${place}`);
  expect(said).not.toContain(password);

  const without = await installation.pam(['--proxy', 'none', 'gateway', 'list'], { env, code: 69 });
  expect(without.stderr).toContain('PAM_ROUTER_UNREACHABLE');
  const wrong = { HTTPS_PROXY: `http://lab:wrong@${place}` };
  const refused = await installation.pam(['gateway', 'list'], { env: wrong, code: 69 });
  expect(refused.stderr).toMatch(/ 407 [^]*Correct user and password in HTTPS_PROXY.*\(PAM_PROXY_REFUSED\)/);
});
