import type { GatewayView } from '@sallyport/protocol';
import { newInstanceIdentity } from '@sallyport/seal';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { claim, installation, type Operator, type PoolKeys } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';
import { member, scriptedInstance, type ScriptedInstance } from '../support/scripted-instance.ts';

let router: Awaited<ReturnType<typeof freshRouter>>;
let anna: Operator;
let pool: PoolKeys;
const instances: ScriptedInstance[] = [];

beforeAll(async () => {
  router = await freshRouter();
  anna = await claim(router);
  pool = (await installation(anna)).pool;
});
afterAll(() => {
  for (const instance of instances) instance.close();
  anna.close();
});

test('a clone is refused again and again while the older answers, both are reported, and it is admitted under a new key', async () => {
  const older = await member(router, anna, pool);
  instances.push(older);
  for (let n = 0; n < 5; n++) {
    const clone = await scriptedInstance(router, anna, pool, older.identity);
    instances.push(clone);
    await expect(clone.hello()).rejects.toMatchObject({ code: 'PAM_INSTANCE_DUPLICATE' });
  }
  expect(older.ws.readyState).toBe(older.ws.OPEN);
  expect(older.ended).toEqual([]);
  await expect.poll(() => older.twins.map((each) => each.from)).toEqual(Array.from({ length: 5 }, () => '127.0.0.1'));

  const fresh = await scriptedInstance(
    router,
    anna,
    pool,
    await newInstanceIdentity(pool.signKey, pool.gateway, Date.now()),
  );
  instances.push(fresh);
  expect((await fresh.hello()).membership.kind).toBe('slot');
  const { gateways } = await anna.must<{ gateways: GatewayView[] }>('GET', '/v1/gateways');
  const listed = gateways.flatMap((gateway) => gateway.instances);
  expect(listed.map((each) => each.instanceId).sort()).toEqual([older.identity.id, fresh.identity.id].sort());
  expect(listed.find((each) => each.instanceId === older.identity.id)?.reason).toContain('used its identity');
  await expect
    .poll(async () => {
      const page = await anna.must<{ events: { kind: string }[] }>('GET', '/v1/audit');
      return page.events.filter((event) => event.kind === 'instance.duplicate').length;
    })
    .toBe(5);
});
