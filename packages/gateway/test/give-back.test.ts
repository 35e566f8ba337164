import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ErrorCode, PamError } from '@sallyport/protocol';
import { expect, onTestFinished, test } from 'vitest';
import { lastOfRouter } from '../src/agent/trust/give-back-log.ts';
import { createInstallation } from './lab/installation.ts';
import { joinWith } from './lab/join.ts';
import { startScriptedRouter } from './lab/scripted-router.ts';

/** A router that was restored from before the last entries of its log, and an instance that knows them. */
async function restoredRouter() {
  const later = (work: () => Promise<void>): void => onTestFinished(work);
  const stateDir = await mkdtemp(join(tmpdir(), 'sallyport-gateway-'));
  later(() => rm(stateDir, { recursive: true, force: true }));
  const router = await startScriptedRouter((identity) => createInstallation(identity.pin));
  later(() => router.close());
  const config = await router.installation.config([router.address], [router.identity.pin]);
  const shown = router.installation.entries.length;
  await router.installation.append({ kind: 'router-pin', pins: [router.identity.pin] });
  await router.installation.append({ kind: 'router-pin', pins: [router.identity.pin, 'B'.repeat(43)] });
  const first = await joinWith(config, later, { stateDir });
  await first.said('ready');
  first.instance.hurry();
  await first.instance.left;
  router.script.entries = router.installation.entries.slice(0, shown);
  router.script.refuseBehind = (n) => new PamError('PAM_TRUST_BEHIND', 'behind', { detail: { shown: n } });
  return { router, join: () => joinWith(config, later, { stateDir }) };
}

test('an instance gives back what the router lost, once, and joins', async () => {
  const { router, join } = await restoredRouter();
  const { said } = await join();
  const told = await said('the router lost entries of the trust log; this instance gave them back');
  const last = router.installation.entries.length - 1;
  expect(told.fields).toEqual({ first: last - 1, last });
  await said('ready');
  expect(router.givenBack).toEqual([2]);
  expect(router.script.entries).toEqual(router.installation.entries);
});

test('a gateway or keys that a restored router does not know yet end nothing before entries were given back', async () => {
  const { router, join } = await restoredRouter();
  router.script.refuseBehind = (n) =>
    new PamError('PAM_INSTANCE_REFUSED', 'unknown', { detail: { why: 'unknown-gateway', shown: n } });
  const { said } = await join();
  await said('ready');
  expect(router.givenBack).toEqual([2]);
});

test('a router that takes entries and goes on showing less is given them once, and believed nothing', async () => {
  const { router, join } = await restoredRouter();
  router.script.takesGivenBack = false;
  const { instance, said } = await join();
  const told = await said('the router lost entries of the trust log and did not take them back');
  expect(told.fields).toMatchObject({ code: 'PAM_TRUST_SHORTENED' });
  // It dials again, and is refused as before the entries were known to be missing.
  await router.nextLink();
  await (await router.nextLink()).hello;
  expect(router.givenBack).toEqual([2]);
  expect(instance.health()).toMatchObject({ ready: false, membership: 'none' });
  router.script.refuseBehind = (n) => new PamError('PAM_INSTANCE_REFUSED', 'no', { detail: { shown: n } });
  expect((await instance.gaveUp).code).toBe('PAM_INSTANCE_REFUSED');
});

test('an older router, that knows no such method, is what it was: behind', async () => {
  const { router, join } = await restoredRouter();
  router.script.refuseGivenBack = new PamError('PAM_BAD_REQUEST', 'method log.give-back is not known here');
  const { log, said } = await join();
  await said('the router lost entries of the trust log and did not take them back');
  await router.nextLink();
  expect(router.givenBack).toEqual([2]);
  expect(log.some(({ message }) => message === 'ready')).toBe(false);
});

test('a router whose log went on with other entries is told apart', async () => {
  const { router, join } = await restoredRouter();
  const shown = (router.script.entries ?? []).length - 1;
  router.script.refuseGivenBack = new PamError('PAM_TRUST_LOG_MOVED', 'no', { detail: { head: shown } });
  const { instance } = await join();
  expect((await instance.gaveUp).code).toBe('PAM_TRUST_FORKED');
});

const error = (code: ErrorCode, shown: unknown) =>
  new PamError(code, 'no', { detail: typeof shown === 'number' ? { shown } : {} });

test.each<[string, PamError, number | null]>([
  ['behind', error('PAM_TRUST_BEHIND', 3), 3],
  ['not knowing the gateway', error('PAM_INSTANCE_REFUSED', 0), 0],
  ['as far as we are', error('PAM_TRUST_BEHIND', 9), null],
  ['ahead of us', error('PAM_TRUST_BEHIND', 12), null],
  ['silent about its log', error('PAM_INSTANCE_REFUSED', null), null],
  ['before the first entry', error('PAM_TRUST_BEHIND', -1), null],
  ['at no whole number', error('PAM_TRUST_BEHIND', 2.5), null],
  ['full', error('PAM_POOL_FULL', 3), null],
])('a router that is %s', (_name, refusal, last) => {
  expect(lastOfRouter(refusal, { head: { n: 9, hash: 'h' } })).toBe(last);
});
