import { createHmac } from 'node:crypto';
import { alertKinds, alertMessageSchema, type GatewayUid } from '@sallyport/protocol';
import { createCleanup, createFakeClock, startWebhookReceiver, type WebhookMode } from '@sallyport/testkit';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { alertRules } from '../../src/alert/alert-rules.ts';
import { createAlertService } from '../../src/alert/alert-service.ts';

const cleanup = createCleanup();
afterAll(() => cleanup.run());
const gateway = 'gAAAAAAAAAAAAAAAAAAAAA' as GatewayUid;
const secret = Buffer.from('sixteen bytes or more');

/** A service over a receiver; one gateway that is offline or not. `pass` moves its clock by seconds, one look each. */
async function setUp(memory: { text: string | null } = { text: null }) {
  const receiver = await startWebhookReceiver(cleanup.later);
  const clock = createFakeClock();
  const logged: string[] = [];
  const sent: string[] = [];
  const pool = { isOffline: false };
  const every = (ms: number, run: () => void): (() => void) => {
    let cancel = (): void => undefined;
    const again = (): void => {
      cancel = clock.after(ms, () => {
        again();
        run();
      });
    };
    again();
    return () => cancel();
  };
  const service = createAlertService({
    endpoint: { url: new URL(receiver.url), secret, kinds: new Set(alertKinds) },
    rules: alertRules({ graceMs: 5_000, repeatMs: 0 }, 5_000),
    router: 'A'.repeat(43),
    version: '0.0.0',
    pools: () => [
      {
        gateway: { uid: gateway, maxInstances: 1, everConnected: pool.isOffline },
        instances: [],
      },
    ],
    attention: () => [],
    keeper: { read: () => memory.text, write: (text) => void (memory.text = text) },
    clock: { ...clock, every },
    random: () => 0.5,
    sent: (outcome) => void sent.push(outcome),
    log: (_level, text, fields) => void logged.push(JSON.stringify([text, fields])),
  });
  service.start();
  onTestFinished(() => service.stop());
  const pass = async (seconds: number): Promise<void> => {
    for (let i = 0; i < seconds; i += 1) await clock.advance(1_000);
  };
  const bodies = () => receiver.posts.map(({ body }) => alertMessageSchema.parse(JSON.parse(body)));
  return { receiver, clock, pass, pool, logged, sent, bodies, memory, service };
}
const soon = { timeout: 60_000 };

test('an offline gateway is told once, signed, and told again when it is back', async () => {
  const { receiver, pass, pool, bodies, logged } = await setUp();
  pool.isOffline = true;
  await pass(30);
  await expect
    .poll(bodies, soon)
    .toMatchObject([{ status: 'firing', kind: 'gateway-offline', gateway, severity: 'critical' }]);
  pool.isOffline = false;
  await pass(10);
  await expect.poll(() => bodies().map(({ status }) => status), soon).toEqual(['firing', 'resolved']);
  expect(bodies()[1]).toMatchObject({ resolution: 'cleared', key: bodies()[0]?.key });
  for (const { headers, body } of receiver.posts) {
    const [, seconds = '', mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['sallyport-signature'])) ?? [];
    expect(mac).toBe(createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex'));
  }
  expect(logged.join()).not.toContain('secret-path');
});

const faults: readonly WebhookMode[] = ['fails', 'busy', 'redirects', 'silent', 'large-headers', 'hangs-up'];
test.each(faults)('an endpoint that %s gets the same message again, signed anew, until it takes it', async (mode) => {
  const { receiver, pass, pool, bodies, sent, logged } = await setUp();
  receiver.behave(mode);
  pool.isOffline = true;
  await pass(25);
  await expect.poll(() => receiver.posts.length, soon).toBeGreaterThan(0);
  // A clock that goes on while the answer is on its way, and over the time an attempt may take.
  await expect
    .poll(async () => {
      await pass(5);
      return sent;
    }, soon)
    .toContain('failed');
  receiver.behave('takes');
  await expect
    .poll(async () => {
      await pass(5);
      return sent;
    }, soon)
    .toContain('delivered');
  expect(new Set(bodies().map(({ delivery }) => delivery)).size).toBe(1);
  expect(new Set(receiver.posts.map(({ path }) => path))).toEqual(new Set(['/hook/secret-path']));
  const attempts = receiver.posts.map(({ headers }) => Number(headers['sallyport-attempt']));
  expect(attempts).toEqual(attempts.map((_, i) => i + 1));
  expect(logged.filter((line) => line.includes('does not take messages'))).toHaveLength(1);
  await expect.poll(receiver.openCount, soon).toBe(0);
});

test('an answer without end is cut off, and counts by its status', async () => {
  const { receiver, pass, pool, sent } = await setUp();
  receiver.behave('endless');
  pool.isOffline = true;
  await pass(25);
  await expect.poll(() => sent, soon).toEqual(['delivered']);
  await expect.poll(receiver.openCount, soon).toBe(0);
});

test('what fires and what nobody heard yet is remembered over a restart, and not told twice', async () => {
  const first = await setUp();
  first.receiver.behave('fails');
  first.pool.isOffline = true;
  await first.pass(25);
  await expect.poll(() => first.receiver.posts.length, soon).toBeGreaterThan(0);
  first.service.stop();
  const second = await setUp(first.memory);
  second.pool.isOffline = true;
  await second.pass(40);
  await expect.poll(second.bodies, soon).toMatchObject([{ status: 'firing' }]);
  expect(second.bodies()[0]?.delivery).toBe(first.bodies()[0]?.delivery);
  // That it came is known to the receiver before the sender: one that stops in between sends it again.
  await expect.poll(() => second.sent, soon).toContain('delivered');
  second.service.stop();
  const third = await setUp(first.memory);
  await third.pass(40);
  await expect.poll(third.bodies, soon).toMatchObject([{ status: 'resolved', firedAt: first.bodies()[0]?.firedAt }]);
});

test('a memory that was damaged is said and begun anew', async () => {
  const { logged } = await setUp({ text: '{"v":1,"firing":[{"condition":{}}]' });
  expect(logged.join()).toMatch(/cannot be read; they begin anew/);
});
