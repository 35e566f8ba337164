import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { PamError } from '@sallyport/protocol';
import { createLegCarrier, directReach, echoLeg } from '@sallyport/stream';
import { readMetrics, type Scrape } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { claim, installation, type Operator } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';
import { member, type ScriptedInstance } from '../support/scripted-instance.ts';

let router: Awaited<ReturnType<typeof freshRouter>>;
let anna: Operator;
let made: Awaited<ReturnType<typeof installation>>;
const instances: ScriptedInstance[] = [];

beforeAll(async () => {
  router = await freshRouter({ metricsListen: { host: '127.0.0.1', port: 0 } });
  anna = await claim(router);
  made = await installation(anna);
});
afterAll(() => {
  for (const instance of instances) instance.close();
  anna.close();
});

const url = (path: string): string => `http://127.0.0.1:${router.metrics?.port}${path}`;
async function scrape(): Promise<Scrape & { readonly text: string }> {
  const answer = await fetch(url('/metrics'));
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const text = await answer.text();
  return { ...readMetrics(text), text };
}
/** Sends bytes, answers everything that came back until the other side closed. */
function raw(bytes: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect({ host: '127.0.0.1', port: router.metrics?.port ?? 0 });
  let text = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => void (text += chunk));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => resolve(text));
  socket.write(bytes);
  return promise;
}

test('a router that runs is alive and ready, and shows its build', async () => {
  expect(await (await fetch(url('/livez'))).json()).toMatchObject({ live: true });
  // Store and relay are asked with a limit, which a busy machine may miss.
  const ready = async () => (await fetch(url('/readyz'))).json();
  await expect.poll(ready).toEqual({ ready: true, reasons: [] });
  expect((await fetch(url('/readyz'))).status).toBe(200);
  const figures = await scrape();
  expect(figures.value('sallyport_ready')).toBe(1);
  expect(figures.value('sallyport_build_info')).toBe(1);
  expect(figures.value('sallyport_relay_up')).toBe(1);
  expect(figures.value('process_open_fds')).toBeGreaterThan(3);
});

test('the pool, its links, requests and transactions are counted under the UID of the gateway', async () => {
  instances.push(await member(router, anna, made.pool));
  await anna.must('GET', '/v1/gateways');
  const figures = await scrape();
  const { gateway } = made.pool;
  expect(figures.value('sallyport_pool_members', { gateway, state: 'ready' })).toBe(1);
  expect(figures.value('sallyport_pool_members', { gateway, state: 'standby' })).toBe(0);
  expect(figures.value('sallyport_pool_slots', { gateway })).toBe(1);
  expect(figures.value('sallyport_links', { kind: 'instance' })).toBe(1);
  expect(figures.value('sallyport_hellos_total', { outcome: 'slot' })).toBe(1);
  expect(figures.value('sallyport_relay_legs_total', { status: 'echoed' })).toBe(1);
  expect(figures.value('sallyport_api_requests_total', { route: 'GET /v1/gateways', status: '200' })).toBe(1);
  expect(figures.value('sallyport_store_seconds_count', { kind: 'write' })).toBeGreaterThan(5);
  expect(figures.value('sallyport_tls_handshakes_total', { outcome: 'done' })).toBeGreaterThan(0);
});

test('a path nobody serves, and whatever stands in it, makes no series of its own', async () => {
  for (const path of ['/v1/secret-path-1', '/v1/secret-path-2', '/v1/items/secret-uid-3/nothing']) {
    await anna.call('GET', path);
  }
  const { text, samples } = await scrape();
  expect(text).not.toContain('secret-');
  const strays = samples.filter(
    ({ name, labels }) => name === 'sallyport_api_requests_total' && labels['route'] === '',
  );
  expect(strays).toMatchObject([{ labels: { status: '404' }, value: 3 }]);
});

test('a relay process that hangs makes the router not ready, by name, and ready again when it goes on', async () => {
  process.kill(router.relayPid, 'SIGSTOP');
  try {
    const answer = await fetch(url('/readyz'));
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ ready: false, reasons: [{ code: 'relay' }] });
    expect((await fetch(url('/livez'))).status).toBe(200);
    const figures = await scrape();
    expect(figures.value('sallyport_not_ready', { reason: 'relay' })).toBe(1);
    expect(figures.value('sallyport_relay_up')).toBe(0);
  } finally {
    process.kill(router.relayPid, 'SIGCONT');
  }
  await expect.poll(async () => (await fetch(url('/readyz'))).status, { timeout: 60_000 }).toBe(200);
});

test('the carrier process is shown from its first leg on, and so is that it hangs', async () => {
  expect((await scrape()).samples.map(({ name }) => name)).not.toContain('sallyport_carriers_up');
  const carrier = createLegCarrier({
    choice: 'websocket',
    reach: directReach,
    pins: () => [router.pin],
    onFallBack: () => undefined,
  });
  const address = { host: '127.0.0.1', port: router.port };
  const leg = echoLeg({ address, ticket: new Uint8Array(32), carrier, signal: new AbortController().signal });
  // Refused: nobody expects its ticket. Or it gave up: on a busy machine the process needs longer to start than a leg waits.
  await expect(leg).rejects.toBeInstanceOf(PamError);
  const isUp = async (): Promise<boolean> =>
    (await scrape()).samples.some(({ name, value }) => name === 'sallyport_carriers_up' && value === 1);
  await expect.poll(isUp, { timeout: 60_000 }).toBe(true);
  const figures = await scrape();
  expect(figures.value('sallyport_carriers_cpu_seconds_total')).toBeGreaterThan(0);
  expect(figures.value('sallyport_carriers_resident_memory_bytes')).toBeGreaterThan(2 ** 20);
  const said = router.lines.find((line) => line.includes('carrier process starts')) ?? '{}';
  const { pid } = z.object({ pid: z.number().int().min(2) }).parse(JSON.parse(said));
  process.kill(pid, 'SIGSTOP');
  try {
    expect((await scrape()).value('sallyport_carriers_up')).toBe(0);
    // Plain legs and the API go on: who waits for it is no reason to take the router out.
    expect((await fetch(url('/readyz'))).status).toBe(200);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});

test('whoever speaks anything but a small GET gets an answer or a close, and changes nothing', async () => {
  expect((await fetch(url('/metrics'), { method: 'POST', body: 'x'.repeat(100_000) })).status).toBe(405);
  expect((await fetch(url('/'))).status).toBe(404);
  expect(await raw(`GET /${'a'.repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`)).toMatch(/^HTTP\/1.1 431/);
  expect(await raw('\u0016\u0003\u0001 no http\r\n\r\n')).toMatch(/^HTTP\/1.1 400/);
  const half = raw('GET /metrics HTTP/1.1\r\nhost: x\r\n');
  expect((await fetch(url('/livez'))).status).toBe(200);
  expect(await half).toMatch(/^HTTP\/1.1 408/);
});

test('the port that people and instances reach serves none of it', async () => {
  for (const path of ['/metrics', '/livez', '/readyz']) {
    expect((await anna.call('GET', path)).status).toBe(404);
  }
});

test('every figure is explained in the operations page, and none is explained that is not there', async () => {
  const page = readFileSync(new URL('../../../../docs/operations.md', import.meta.url), 'utf8');
  const { types } = await scrape();
  const explained = new Set(page.match(/`sallyport_(?!instance_)\w+/g)?.map((name) => name.slice(1)));
  explained.add('sallyport_build_info');
  expect([...explained].toSorted()).toEqual(
    [...types.keys()].filter((name) => name.startsWith('sallyport_')).toSorted(),
  );
});

test('a router that drains is not ready and shows its figures to the end', async () => {
  await router.drain(1);
  expect(await (await fetch(url('/readyz'))).json()).toMatchObject({ ready: false, reasons: [{ code: 'stopping' }] });
  const figures = await scrape();
  expect(figures.value('sallyport_not_ready', { reason: 'stopping' })).toBe(1);
  expect(figures.value('sallyport_relay_up')).toBe(1);
});
