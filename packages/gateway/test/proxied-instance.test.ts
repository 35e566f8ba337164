import type { PamError } from '@sallyport/protocol';
import { type Reach, readReach } from '@sallyport/stream';
import { startConnectProxy, tempDir } from '@sallyport/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { startInstance, systemRuntime } from '../src/index.ts';
import { roundTrip, startLab } from './lab/lab.ts';

/** Loopback is exempt from proxies; in these tests it is not, since router and proxy are both there. */
const through = (url: string): Reach => ({ ...readReach(url, {}), except: { has: () => false } });

test('an instance behind a proxy joins and serves through it alone, and dials targets itself', async () => {
  const proxy = await startConnectProxy(onTestFinished, { login: 'dc1:hunter2-word' });
  const lab = await startLab({ reach: through(proxy.url) });
  onTestFinished(() => lab.close());
  const dispatched = await lab.dispatch();
  expect(dispatched.result).toMatchObject({ kind: 'accepted' });
  expect(await roundTrip(await lab.open(dispatched), 'through the proxy')).toBe('through the proxy');
  // Control link, echo leg, the stream's leg; the target was none of the proxy's business.
  expect(proxy.asked().length).toBeGreaterThanOrEqual(3);
  expect(new Set(proxy.asked())).toEqual(new Set([lab.router.address]));
  expect(JSON.stringify(lab.log)).not.toContain('hunter2-word');
});

test('a proxy that leads to another host meets the pin, and that host hears of nothing', async () => {
  const proxy = await startConnectProxy(onTestFinished);
  const elsewhere = await startLab();
  onTestFinished(() => elsewhere.close());
  const before = elsewhere.router.links.length;
  proxy.behave({ kind: 'leads-to', host: '127.0.0.1', port: elsewhere.router.port });
  const given = Promise.withResolvers<PamError>();
  const stateDir = tempDir(onTestFinished);
  const instance = await startInstance({
    config: await elsewhere.installation.config([elsewhere.router.address], ['x'.repeat(43)]),
    stateDir,
    version: '0.1.0',
    runtime: systemRuntime,
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    health: 'none',
    reach: through(proxy.url),
  });
  onTestFinished(() => instance.hurry());
  void instance.gaveUp.then(given.resolve);
  expect(await given.promise).toMatchObject({ code: 'PAM_ROUTER_IMPOSTOR' });
  expect(elsewhere.router.links.length).toBe(before);
});

test('a proxy that refuses is named in the log with what to do, and asked again', async () => {
  const proxy = await startConnectProxy(onTestFinished);
  proxy.behave({ kind: 'refuses', status: '407 No', fields: ['Proxy-Authenticate: Basic realm="x"'] });
  const opening = startLab({ reach: through(proxy.url) });
  await expect.poll(() => proxy.asked().length, { timeout: 60_000 }).toBeGreaterThan(1);
  proxy.behave({ kind: 'honest' });
  const lab = await opening;
  onTestFinished(() => lab.close());
  const warned = lab.log.filter(({ level }) => level === 'warn');
  expect(warned.map(({ fields }) => fields)).toContainEqual(
    expect.objectContaining({ code: 'PAM_PROXY_REFUSED', remedy: expect.stringContaining('USER:PASSWORD') }),
  );
});
