import { readFileSync } from 'node:fs';
import { readMetrics, type Scrape } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createInstallation, newSessionId } from './lab/installation.ts';
import { joinWith } from './lab/join.ts';
import { type Lab, roundTrip, startLab } from './lab/lab.ts';
import { startScriptedRouter } from './lab/scripted-router.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ metricsListen: { host: '127.0.0.1', port: 0 } });
});
afterAll(() => lab.close());
const later = (work: () => Promise<void>): void => onTestFinished(work);

type Listening = Pick<Lab['instance'], 'listens'>;
const url = ({ listens }: Listening, path: string): string => `http://127.0.0.1:${listens[0]?.port}${path}`;
async function scrape(of: Listening): Promise<Scrape & { readonly text: string }> {
  const text = await (await fetch(url(of, '/metrics'))).text();
  return { ...readMetrics(text), text };
}
async function readiness(of: Listening, query = ''): Promise<{ status: number; reasons: unknown }> {
  const answer = await fetch(url(of, `/readyz${query}`));
  return { status: answer.status, reasons: ((await answer.json()) as { reasons: unknown }).reasons };
}

test('an instance with a slot is ready, and shows link, beats and the trust log it verified', async () => {
  const within = { timeout: 60_000 };
  await expect.poll(() => readiness(lab.instance), within).toEqual({ status: 200, reasons: [] });
  expect((await fetch(url(lab.instance, '/livez'))).status).toBe(200);
  await expect
    .poll(async () => (await scrape(lab.instance)).value('sallyport_instance_beat_seconds'), { timeout: 60_000 })
    .toBeGreaterThan(0);
  const figures = await scrape(lab.instance);
  expect(figures.value('sallyport_instance_membership', { kind: 'slot' })).toBe(1);
  expect(figures.value('sallyport_instance_link_up')).toBe(1);
  expect(figures.value('sallyport_instance_trust_entry')).toBe(lab.installation.head().n);
});

test('streams, dials and refusals are counted, and nothing shows whose they were', async () => {
  const dispatched = await lab.dispatch();
  expect(await roundTrip(await lab.open(dispatched), 'x'.repeat(1_000))).toHaveLength(1_000);
  const foreign = lab.claims();
  await lab.dispatch({ claims: { ...foreign, session: newSessionId() }, session: foreign.session });
  await expect
    .poll(async () => (await scrape(lab.instance)).value('sallyport_instance_streams_opened_total'), {
      timeout: 60_000,
    })
    .toBe(1);
  await expect
    .poll(async () => (await scrape(lab.instance)).text, { timeout: 60_000 })
    .toContain('sallyport_instance_bytes_total{direction="up"} 1000\n');
  const figures = await scrape(lab.instance);
  expect(figures.value('sallyport_instance_dials_total', { outcome: 'connected' })).toBe(1);
  const refusal = { class: 'denied', code: 'PAM_REQUEST_INVALID' };
  expect(figures.value('sallyport_instance_refusals_total', refusal)).toBe(1);
  const { gateway, app } = lab.installation;
  const secrets = [lab.instance.id, gateway, app, lab.resource.uid, lab.configuration.uid, dispatched.claims.stream];
  for (const text of [...secrets, '127.0.0.1', String(lab.target.port)]) expect(figures.text).not.toContain(text);
});

test('a standby says why it is none of those who serve, and counts as ready for who asks so', async () => {
  const router = await startScriptedRouter((identity) => createInstallation(identity.pin));
  later(() => router.close());
  const reason = 'pool full: maximum 3, connected 3';
  router.script.membership = { kind: 'standby', position: 1, reason };
  const config = await router.installation.config([router.address], [router.identity.pin]);
  const { instance, said } = await joinWith(config, later, { metricsListen: { host: '127.0.0.1', port: 0 } });
  await said('ready');
  expect(await readiness(instance)).toEqual({ status: 503, reasons: [{ code: 'standby', text: reason }] });
  expect(await readiness(instance, '?standby=ok')).toEqual({ status: 200, reasons: [] });
  const figures = await scrape(instance);
  expect(figures.value('sallyport_instance_membership', { kind: 'standby' })).toBe(1);
  expect(figures.value('sallyport_instance_not_ready', { reason: 'standby' })).toBe(1);
});

test('a link that is away is said with its time and its code, without the address of the router', async () => {
  const router = await startScriptedRouter((identity) => createInstallation(identity.pin));
  const config = await router.installation.config([router.address], [router.identity.pin]);
  const { instance, said } = await joinWith(config, later, { metricsListen: { host: '127.0.0.1', port: 0 } });
  await said('ready');
  await router.close();
  await said('link lost, redialling; running streams go on');
  const { status, reasons } = await readiness(instance);
  expect(status).toBe(503);
  expect(JSON.stringify(reasons)).toMatch(/"link".*is away since \d{4}-\d\d-\d\dT[\d:.]+Z \(PAM_\w+: /);
  expect(JSON.stringify(reasons)).not.toContain(router.address);
  const figures = await scrape(instance);
  expect(figures.value('sallyport_instance_link_up')).toBe(0);
  expect(figures.value('sallyport_instance_link_losses_total')).toBe(1);
});

test('every figure of an instance is explained in the operations page, and none is explained that is not there', async () => {
  const page = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
  const { types } = await scrape(lab.instance);
  const explained = new Set(page.match(/`sallyport_instance_\w+/g)?.map((name) => name.slice(1)));
  const there = [...types.keys()].filter((name) => name.startsWith('sallyport_instance_'));
  expect([...explained].toSorted()).toEqual(there.toSorted());
});
