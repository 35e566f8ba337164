import { alertMessageSchema } from '@sallyport/protocol';
import { createCleanup, startWebhookReceiver } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';
import { claim, installation } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';
import { member, scriptedInstance } from '../support/scripted-instance.ts';

const cleanup = createCleanup();
afterAll(() => cleanup.run());

test('a cloned instance is told to the webhook as something that somebody has to look at, by UIDs alone', async () => {
  const receiver = await startWebhookReceiver(cleanup.later);
  const endpoint = { url: new URL(receiver.url), secret: null, kinds: new Set(['needs-attention'] as const) };
  const router = await freshRouter({
    timing: { graceMs: 1_000 },
    alerts: { endpoint, times: { graceMs: null, repeatMs: 0 } },
  });
  const anna = await claim(router);
  cleanup.later(() => anna.close());
  const { pool } = await installation(anna);
  const older = await member(router, anna, pool);
  cleanup.later(() => older.close());
  for (let n = 0; n < 2; n += 1) {
    const clone = await scriptedInstance(router, anna, pool, older.identity);
    cleanup.later(() => clone.close());
    await expect(clone.hello()).rejects.toMatchObject({ code: 'PAM_INSTANCE_DUPLICATE' });
  }
  await expect.poll(() => receiver.posts.length, { timeout: 60_000 }).toBe(1);
  const [post] = receiver.posts;
  expect(alertMessageSchema.parse(JSON.parse(post?.body ?? ''))).toMatchObject({
    ...{ status: 'firing', kind: 'needs-attention', detail: { why: 'instance-duplicate' } },
    ...{ gateway: pool.gateway, instance: older.identity.id },
  });
  expect(post?.headers).not.toHaveProperty('sallyport-signature');
  expect(post?.body).not.toContain('127.0.0.1');
  expect(router.lines.join()).not.toContain('secret-path');
});
