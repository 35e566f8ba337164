import type { GatewayView, KeyWrap, SessionView, StreamId } from '@sallyport/protocol';
import { newBoxKey, newSigningKey, wrapKey } from '@sallyport/seal';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiClient, dpopHeaders, errorOf } from '../support/api-client.ts';
import { claim, installation, nowSeconds, type Operator, type PoolKeys, uid } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';
import { member, scriptedInstance, type ScriptedInstance } from '../support/scripted-instance.ts';

let router: Awaited<ReturnType<typeof freshRouter>>;
let anna: Operator;
let made: Awaited<ReturnType<typeof installation>>;
const instances: ScriptedInstance[] = [];

beforeAll(async () => {
  router = await freshRouter();
  anna = await claim(router);
  made = await installation(anna);
});
afterAll(() => {
  for (const instance of instances) instance.close();
  anna.close();
});

/** Everything a rekey sends, ready and not sent. */
async function prepareRekey(pool: PoolKeys) {
  const [signKey, boxKey] = [await newSigningKey(), await newBoxKey()];
  const keys = { signKey: signKey.publicJwk, boxKey: boxKey.publicJwk };
  const entry = await anna.entry({ kind: 'gateway-rekeyed', gateway: pool.gateway, ...keys });
  const place = { app: made.keys.app, part: 'facts', gen: 1 } as const;
  const wrap = await wrapKey(place, made.keys.facts, boxKey.publicJwk, anna.device, nowSeconds());
  const wraps: KeyWrap[] = [{ ...place, recipient: boxKey.id, wrap }];
  return { entry, wraps, next: { ...pool, signKey, boxKey } };
}
const send = (pool: PoolKeys, body: unknown) =>
  anna.must<{ cut: number }>('POST', `/v1/gateways/${pool.gateway}/rekey`, body, true);

test('a rekey cuts everybody under the old keys, ends their streams, and admits the new ones alone', async () => {
  const { pool, machine, config } = made;
  const [one, two] = [await member(router, anna, pool), await member(router, anna, pool)];
  instances.push(one, two);
  const session = await anna.newSession(pool.gateway, machine.uid);
  const stream = uid<StreamId>();
  const revs = { [machine.uid]: 1, [config.uid]: 1 };
  const request = await anna.request({ gateway: pool.gateway, session, stream, resource: machine.uid, revs });
  await anna.must('POST', `/v1/sessions/${session}/streams`, { stream, request, not: [] });
  const server = [one, two].find((each) => each.dispatched.length > 0);
  await server?.opened(stream);

  const { entry, wraps, next } = await prepareRekey(pool);
  expect(await send(pool, { entry, wraps })).toMatchObject({ cut: 2 });
  await anna.took(entry);
  for (const each of [one, two]) {
    expect(await each.closed).toMatchObject({ reason: 'PAM_GATEWAY_REMOVED' });
    expect(each.ended).toEqual([{ streams: [], reason: 'stopped' }]);
  }
  const old = await scriptedInstance(router, anna, pool);
  instances.push(old);
  await expect(old.hello()).rejects.toMatchObject({ code: 'PAM_INSTANCE_REFUSED' });
  const returned = await scriptedInstance(router, anna, pool, one.identity);
  instances.push(returned);
  await expect(returned.hello()).rejects.toMatchObject({ code: 'PAM_INSTANCE_REFUSED' });

  const fresh = await scriptedInstance(router, anna, next);
  instances.push(fresh);
  const admitted = await fresh.hello();
  expect(admitted.membership).toMatchObject({ kind: 'slot' });
  expect(admitted.wraps.map((wrap) => wrap.recipient)).toEqual([next.boxKey.id]);
  const { gateways } = await anna.must<{ gateways: GatewayView[] }>('GET', '/v1/gateways');
  expect(gateways[0]?.instances.map((each) => each.instanceId)).toEqual([fresh.identity.id]);
  await expect
    .poll(async () => {
      const { sessions } = await anna.must<{ sessions: SessionView[] }>('GET', '/v1/sessions?streams=yes');
      return sessions.flatMap((each) => each.streams ?? []).find((each) => each.stream === stream)?.state;
    })
    .toBe('ended');
});

test('a hello that was checked under the old keys and is not admitted yet is refused after the rekey', async () => {
  const pool = await anna.newGateway(made.keys, 'race', 1);
  const slow = await scriptedInstance(router, anna, pool);
  instances.push(slow);
  // Without its echo the hello waits behind the check of its certificate.
  const hello = slow.hello({ version: '0.1.0' });
  hello.catch(() => undefined);
  const { entry, wraps } = await prepareRekey(pool);
  await send(pool, { entry, wraps });
  await anna.took(entry);
  await slow.echo();
  await expect(hello).rejects.toMatchObject({ code: 'PAM_GATEWAY_REMOVED' });
  expect(await slow.closed).toMatchObject({ reason: 'PAM_GATEWAY_REMOVED' });
  const { gateways } = await anna.must<{ gateways: GatewayView[] }>('GET', '/v1/gateways');
  expect(gateways.find((each) => String(each.item.uid) === pool.gateway)?.instances).toEqual([]);
});

test('a rekey voids one-time tokens of the gateway, and is refused when it is not what its entry says', async () => {
  const token = { lookup: 'L'.repeat(43), blob: 'B'.repeat(64), lifeMinutes: 60 };
  const pool = await anna.newGateway(made.keys, 'tokened', 1, token);
  const other = await anna.newGateway(made.keys, 'bystander', 1);
  const { entry, wraps, next } = await prepareRekey(pool);
  const refused = async (of: PoolKeys, body: unknown) =>
    errorOf(await anna.call('POST', `/v1/gateways/${of.gateway}/rekey`, body, true)).code;
  expect(await refused(other, { entry, wraps })).toBe('PAM_BAD_REQUEST');
  const forOld = wraps.map((wrap) => ({ ...wrap, recipient: pool.boxKey.id }));
  expect(await refused(pool, { entry, wraps: forOld })).toBe('PAM_BAD_REQUEST');
  await send(pool, { entry, wraps });
  await anna.took(entry);
  const client = createApiClient(router.port);
  const key = await newSigningKey();
  const redeem = { method: 'POST', path: '/v1/tokens/redeem' };
  const headers = await dpopHeaders(redeem, key);
  const redeemed = await client.ask({ ...redeem, body: { lookup: token.lookup }, headers });
  client.close();
  expect(errorOf(redeemed).code).toBe('PAM_TOKEN_UNKNOWN');
  expect(await refused(pool, { entry, wraps })).toBe('PAM_TRUST_LOG_MOVED');
  expect(next.boxKey.id).not.toBe(pool.boxKey.id);
});
