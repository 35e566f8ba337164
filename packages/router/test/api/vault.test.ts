import type { Item, ItemUid, Mirror } from '@sallyport/protocol';
import { newSigningKey } from '@sallyport/seal';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiClient, dpopHeaders, errorOf } from '../support/api-client.ts';
import { claim, inherit, installation, off, type Operator, uid } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';

let router: Awaited<ReturnType<typeof freshRouter>>;
let anna: Operator;
let made: Awaited<ReturnType<typeof installation>>;
beforeAll(async () => {
  router = await freshRouter();
  anna = await claim(router);
  made = await installation(anna);
});
afterAll(() => anna.close());

const bare: Mirror = { gateway: null, configuration: null, credentials: [], permissions: off };

test('applications come with the wraps of the caller, gateways with their maximum', async () => {
  const { applications } = await anna.must<{ applications: { item: Item; wraps: unknown[] }[] }>(
    'GET',
    '/v1/applications',
  );
  expect(applications).toMatchObject([{ item: { uid: made.keys.app, type: 'application' }, wraps: [{}, {}, {}] }]);
  expect(await anna.must('GET', '/v1/gateways')).toMatchObject({
    gateways: [{ item: { uid: made.pool.gateway }, maxInstances: 3, everConnected: false, instances: [] }],
  });
});

test('an item is written only at the next revision, and every revision stays', async () => {
  const of = { uid: made.machine.uid, mirror: made.machine.mirror, facts: { title: 'two' } };
  const second = await anna.item(made.keys, 'pamMachine', { ...of, rev: 2 });
  expect((await anna.putItem(second)).parts.facts?.rev).toBe(2);
  await expect(anna.putItem(second)).rejects.toMatchObject({ code: 'PAM_CONFLICT' });
  await expect(anna.putItem(await anna.item(made.keys, 'pamMachine', { ...of, rev: 4 }))).rejects.toMatchObject({
    code: 'PAM_CONFLICT',
  });
  const { versions } = await anna.must<{ versions: { rev: number; envelope: string }[] }>(
    'GET',
    `/v1/items/${made.machine.uid}/history`,
  );
  expect(versions.map((version) => version.rev)).toEqual([2, 1]);
  expect(versions[0]?.envelope).toBe(second.parts.facts?.envelope);
});

test('an envelope sealed for another place is refused before it is stored', async () => {
  const mine = await anna.item(made.keys, 'pamMachine', { mirror: { ...bare, permissions: inherit }, facts: {} });
  const other = await anna.item(made.keys, 'pamMachine', { mirror: bare, facts: {} });
  for (const bent of [
    { ...mine, parts: other.parts },
    { ...mine, type: 'pamDatabase' as const },
    { ...mine, parts: { secrets: mine.parts.facts } },
    { ...mine, parts: { facts: { ...mine.parts.facts, rev: 7 } } },
  ]) {
    const answer = await anna.call('PUT', `/v1/items/${mine.uid}`, { item: bent }, true);
    expect(errorOf(answer).code).toBe('PAM_SEAL_MISPLACED');
  }
  expect(errorOf(await anna.call('GET', `/v1/items/${mine.uid}`)).code).toBe('PAM_NOT_FOUND');
});

test('what others stand on cannot be removed, and the refusal lists them', async () => {
  const refused = await anna.call('DELETE', `/v1/items/${made.config.uid}`, {}, true);
  expect(errorOf(refused)).toMatchObject({ code: 'PAM_IN_USE', detail: { dependants: made.machine.uid } });
  const lone = await anna.putItem(
    await anna.item(made.keys, 'pamUser', { mirror: bare, facts: {}, secrets: { password: 'x' } }),
  );
  expect(lone.parts.secrets?.rev).toBe(1);
  await anna.must('DELETE', `/v1/items/${lone.uid}`, {}, true);
  expect(errorOf(await anna.call('GET', `/v1/items/${lone.uid}`)).code).toBe('PAM_NOT_FOUND');
  const again = await anna.item(made.keys, 'pamUser', { uid: lone.uid, mirror: bare, facts: {} });
  await expect(anna.putItem(again)).rejects.toMatchObject({ code: 'PAM_CONFLICT' });
});

test('applications and gateways are not made, nor removed, as plain items', async () => {
  const born = await anna.item(made.keys, 'gateway', { uid: uid<ItemUid>(), mirror: bare, facts: { title: 'x' } });
  await expect(anna.putItem(born)).rejects.toMatchObject({ code: 'PAM_BAD_REQUEST' });
  expect(errorOf(await anna.call('DELETE', `/v1/items/${made.pool.gateway}`, {}, true)).code).toBe('PAM_BAD_REQUEST');
  const renamed = await anna.item(made.keys, 'gateway', {
    uid: made.pool.gateway as string as ItemUid,
    rev: 2,
    mirror: bare,
    facts: { title: 'renamed' },
  });
  expect((await anna.putItem(renamed)).parts.facts?.rev).toBe(2);
});

test('an audited change counts only with the next event of its actor, over this body and path', async () => {
  const write = await anna.item(made.keys, 'pamMachine', { mirror: bare, facts: {} });
  const path = `/v1/items/${write.uid}`;
  expect(errorOf(await anna.call('PUT', path, { item: write })).code).toBe('PAM_BAD_REQUEST');
  const head = await anna.must<{ seq: number; hash: string }>('GET', '/v1/audit/actor');
  anna.forgetChain(head.seq - 1, head.hash);
  expect(errorOf(await anna.call('PUT', path, { item: write }, true)).code).toBe('PAM_AUDIT_SEQUENCE');
  anna.forgetChain(head.seq, 'A'.repeat(43));
  expect(errorOf(await anna.call('PUT', path, { item: write }, true)).code).toBe('PAM_AUDIT_SEQUENCE');
  expect(errorOf(await anna.call('GET', path)).code).toBe('PAM_NOT_FOUND');
  anna.forgetChain(head.seq, head.hash);
  expect((await anna.call('PUT', path, { item: write }, true)).status).toBe(200);
});

test('a log entry that lost a race is told so; one that is not allowed is refused', async () => {
  const entry = await anna.entry({ kind: 'router-pin', pins: [router.pin] });
  await anna.must('POST', '/v1/log', { entry });
  const late = await anna.entry({ kind: 'router-pin', pins: [router.pin] });
  await anna.took(entry);
  await expect(anna.must('POST', '/v1/log', { entry: late })).rejects.toMatchObject({ code: 'PAM_TRUST_LOG_MOVED' });
  const forged = await anna.entry({ kind: 'router-pin', pins: [router.pin] }, await newSigningKey());
  await expect(anna.must('POST', '/v1/log', { entry: forged })).rejects.toMatchObject({
    code: 'PAM_TRUST_ENTRY_INVALID',
  });
  const alone = await anna.entry({ kind: 'gateway-removed', gateway: made.pool.gateway });
  await expect(anna.must('POST', '/v1/log', { entry: alone })).rejects.toMatchObject({
    code: 'PAM_TRUST_ENTRY_INVALID',
  });
});

test('a one-time token gives its blob to its first redeemer until it acknowledges; each failure has its own code', async () => {
  const lookup = 'L'.repeat(43);
  const blob = 'eyJhbGciOiJkaXIifQ.x.y.z.canary-blob';
  await anna.newGateway(made.keys, 'with token', 1, { lookup, blob, lifeMinutes: 5 });
  const client = createApiClient(router.port);
  const first = await newSigningKey();
  const second = await newSigningKey();
  const ask = async (path: string, key: typeof first, body: unknown) =>
    client.ask({ method: 'POST', path, body, headers: await dpopHeaders({ method: 'POST', path }, key) });
  const redeem = '/v1/tokens/redeem';
  const acknowledge = '/v1/tokens/acknowledge';
  expect(errorOf(await ask(redeem, first, { lookup: 'X'.repeat(43) })).code).toBe('PAM_TOKEN_UNKNOWN');
  expect(errorOf(await client.ask({ method: 'POST', path: redeem, body: { lookup } })).code).toBe('PAM_PROOF_INVALID');
  expect((await ask(redeem, first, { lookup })).body).toMatchObject({ blob });
  expect((await ask(redeem, first, { lookup })).body).toMatchObject({ blob });
  expect(errorOf(await ask(redeem, second, { lookup })).code).toBe('PAM_TOKEN_USED');
  expect(errorOf(await ask(acknowledge, second, { lookup })).code).toBe('PAM_TOKEN_USED');
  expect((await ask(acknowledge, first, { lookup })).status).toBe(200);
  expect((await ask(acknowledge, first, { lookup })).status).toBe(200);
  expect(errorOf(await ask(redeem, first, { lookup })).code).toBe('PAM_TOKEN_USED');
  client.close();
});

test('sessions need a known record and gateway; tunneling that is switched off is refused early', async () => {
  await expect(anna.newSession(uid(), made.machine.uid)).rejects.toMatchObject({ code: 'PAM_NOT_FOUND' });
  const session = await anna.newSession(made.pool.gateway, made.machine.uid);
  const stream = uid<never>();
  const route = async () =>
    anna.call('POST', `/v1/sessions/${session}/streams`, {
      stream,
      request: await anna.request({
        gateway: made.pool.gateway,
        session,
        stream,
        resource: made.machine.uid,
        revs: { [made.machine.uid]: 1 },
      }),
      not: [],
    });
  expect(errorOf(await route()).code).toBe('PAM_POOL_NO_READY_INSTANCE');
  await anna.putItem(
    await anna.item(made.keys, 'pamNetworkConfiguration', {
      uid: made.config.uid,
      rev: 2,
      mirror: { ...made.config.mirror, permissions: off },
      facts: {},
    }),
  );
  expect(errorOf(await route())).toMatchObject({ code: 'PAM_PERMISSION_OFF', detail: { permission: 'tunneling' } });
  const foreign = await anna
    .request({ gateway: made.pool.gateway, session, stream: uid(), resource: made.machine.uid, revs: {} })
    .catch(() => null);
  if (foreign !== null) {
    const answer = await anna.call('POST', `/v1/sessions/${session}/streams`, { stream, request: foreign, not: [] });
    expect(errorOf(answer).code).toBe('PAM_REQUEST_INVALID');
  }
});
