import { connect } from 'node:net';
import { encodePreamble, type GatewayView, type InstanceId, legStatus, type StreamId } from '@sallyport/protocol';
import { newInstanceIdentity, newSigningKey } from '@sallyport/seal';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorOf } from '../support/api-client.ts';
import { claim, installation, type Operator, type PoolKeys, uid } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';
import { member, scriptedInstance, type ScriptedInstance } from '../support/scripted-instance.ts';

let router: Awaited<ReturnType<typeof freshRouter>>;
let anna: Operator;
let made: Awaited<ReturnType<typeof installation>>;
let pool: PoolKeys;
const instances: ScriptedInstance[] = [];

beforeAll(async () => {
  router = await freshRouter();
  anna = await claim(router);
  made = await installation(anna);
  pool = made.pool;
});
afterAll(() => {
  for (const instance of instances) instance.close();
  anna.close();
});

async function gateways(): Promise<GatewayView[]> {
  return (await anna.must<{ gateways: GatewayView[] }>('GET', '/v1/gateways')).gateways;
}
async function join(): Promise<ScriptedInstance> {
  const instance = await member(router, anna, pool);
  instances.push(instance);
  return instance;
}
async function route(
  session: string,
  not: InstanceId[] = [],
): Promise<{ stream: StreamId; answer: Awaited<ReturnType<Operator['call']>> }> {
  const stream = uid<StreamId>();
  const { machine, config } = made;
  const revs = { [machine.uid]: 1, [config.uid]: 1 };
  const request = await anna.request({
    gateway: pool.gateway,
    session: session as never,
    stream,
    resource: machine.uid,
    revs,
  });
  return { stream, answer: await anna.call('POST', `/v1/sessions/${session}/streams`, { stream, request, not }) };
}

test('an instance that proves pool key, nonce and data port is admitted and gets the wraps of its pool', async () => {
  const instance = await scriptedInstance(router, anna, pool);
  instances.push(instance);
  const answer = await instance.hello();
  expect(answer.membership.kind).toBe('slot');
  expect(answer.wraps.map((wrap) => wrap.part).toSorted()).toEqual(['facts', 'recordings', 'secrets']);
  expect(await instance.peer.call('log.read', { from: 0 }, { timeoutMs: 60_000 })).toMatchObject({
    head: anna.log().head,
  });
  expect((await gateways())[0]?.instances).toMatchObject([
    { instanceId: instance.identity.id, state: 'ready', deviceName: 'host-1' },
  ]);
  await instance.peer.call('link.bye', { reason: 'stopped' }, { timeoutMs: 60_000 });
  await instance.closed;
  expect((await gateways())[0]?.instances).toEqual([]);
});

test('an instance that lies about any part of its hello is refused, each with its reason, and its link ends', async () => {
  const stranger = await newSigningKey();
  const foreign = await newInstanceIdentity(stranger, pool.gateway, Date.now());
  const lies: [string, Parameters<ScriptedInstance['hello']>[0], string][] = [
    ['clock', { timeMs: Date.now() - 3_600_000 }, 'PAM_CLOCK_SKEW'],
    ['gateway', { gateway: uid() }, 'PAM_INSTANCE_REFUSED'],
    ['certificate', { certificate: foreign.certificatePem }, 'PAM_INSTANCE_REFUSED'],
    ['instance', { instance: uid() }, 'PAM_INSTANCE_REFUSED'],
    ['future log', { head: { n: 99, hash: 'A'.repeat(43) } }, 'PAM_TRUST_BEHIND'],
    ['forked log', { head: { n: 0, hash: 'A'.repeat(43) } }, 'PAM_TRUST_FORKED'],
  ];
  for (const [, lie, code] of lies) {
    const liar = await scriptedInstance(router, anna, pool);
    await liar.echo();
    await expect(liar.hello(lie)).rejects.toMatchObject({ code });
    expect(await liar.closed).toMatchObject({ code: 4_001, reason: code });
  }
  expect((await gateways())[0]?.instances).toEqual([]);
});

test('without the echo through the data port nobody is admitted', async () => {
  const deaf = await scriptedInstance(router, anna, pool);
  await expect(deaf.hello({ held: null })).rejects.toMatchObject({ code: 'PAM_LEG_FAILED' });
  await deaf.closed;
});

test('whatever a stranger sends on a link costs that link, and the members stay', async () => {
  const good = await join();
  const frames: [string, (instance: ScriptedInstance) => void][] = [
    ['rubbish', (i) => i.ws.send('{{{')],
    ['an array', (i) => i.ws.send('[]')],
    ['no method', (i) => i.ws.send('{"jsonrpc":"2.0"}')],
    ['binary', (i) => i.ws.send(Buffer.alloc(10))],
    ['over 1 MiB', (i) => i.ws.send('x'.repeat(1_100_000))],
    ['a long ping', (i) => i.ws.ping(Buffer.alloc(100))],
    ['bad parameters of a notification', (i) => i.ws.send('{"jsonrpc":"2.0","method":"link.hello","params":{}}')],
    [
      'a flood of pings',
      (i) => {
        for (let n = 0; n < 300; n++) i.ws.ping(Buffer.alloc(8));
      },
    ],
  ];
  for (const [what, send] of frames) {
    const stranger = await scriptedInstance(router, anna, pool);
    send(stranger);
    expect([what, (await stranger.closed).code >= 1_002]).toEqual([what, true]);
  }
  const early = await scriptedInstance(router, anna, pool);
  await expect(early.peer.call('log.read', { from: 0 }, { timeoutMs: 60_000 })).rejects.toMatchObject({
    code: 'PAM_INSTANCE_REFUSED',
  });
  await expect(early.peer.call('link.bye', { reason: 'stopped' }, { timeoutMs: 60_000 })).rejects.toMatchObject({
    code: 'PAM_INSTANCE_REFUSED',
  });
  early.close();
  expect((await gateways())[0]?.instances).toMatchObject([{ instanceId: good.identity.id, state: 'ready' }]);
});

test('streams go round the ring, and every decision can be explained afterwards', async () => {
  await join();
  await join();
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  const picks: string[] = [];
  let last: StreamId | null = null;
  for (let i = 0; i < 6; i++) {
    const { stream, answer } = await route(session);
    expect(answer.body).toMatchObject({ attempt: 1 });
    picks.push((answer.body as { instance: string }).instance);
    last = stream;
  }
  expect(new Set(picks.slice(0, 3)).size).toBe(3);
  expect(picks.slice(3)).toEqual(picks.slice(0, 3));
  const why = await anna.must<{ streams: { stream: { stream: string }; decisions: { pick: string }[] }[] }>(
    'GET',
    '/v1/sessions/last/why',
  );
  expect(why.streams[0]).toMatchObject({ stream: { stream: last, state: 'routing' }, decisions: [{ pick: picks[5] }] });
  const dispatched = instances.find((each) => each.identity.id === picks[5])?.dispatched.at(-1);
  expect(dispatched).toMatchObject({ stream: last, session, parked: false });
  expect(dispatched?.items.map((item) => Object.keys(item.parts))).toEqual([['facts'], ['facts']]);
});

test('a refusal asks the next one; a denial is final; without anybody left the reasons are told', async () => {
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  const live = instances.filter((each) => each.ws.readyState === each.ws.OPEN);
  const refusal = (kind: 'full' | 'denied', code: string) => async () =>
    ({
      kind: 'refused',
      class: kind,
      error: { code, message: 'no', remedy: 'none', detail: {} },
    }) as const;
  const [first, ...others] = live;
  for (const other of live) other.answer = refusal('full', 'PAM_DISPATCH_REFUSED');
  if (first !== undefined) first.answer = async () => ({ kind: 'accepted' });
  for (let i = 0; i < 3; i++) {
    const { answer } = await route(session);
    expect(answer.body).toMatchObject({ instance: first?.identity.id });
  }
  if (first !== undefined) first.answer = refusal('full', 'PAM_DISPATCH_REFUSED');
  expect(errorOf((await route(session)).answer)).toMatchObject({ code: 'PAM_DISPATCH_REFUSED' });
  for (const other of live) other.answer = refusal('denied', 'PAM_TARGET_NOT_ALLOWED');
  expect(errorOf((await route(session)).answer)).toMatchObject({ code: 'PAM_TARGET_NOT_ALLOWED' });
  expect(
    errorOf(
      (
        await route(
          session,
          live.map((each) => each.identity.id),
        )
      ).answer,
    ).code,
  ).toBe('PAM_POOL_NO_READY_INSTANCE');
  for (const other of [first, ...others]) if (other !== undefined) other.answer = async () => ({ kind: 'accepted' });
});

test('an instance that does not answer within the hedge is passed over, and told to forget', async () => {
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  const live = instances.filter((each) => each.ws.readyState === each.ws.OPEN);
  const never = new Promise<never>(() => undefined);
  const [, ...frozen] = live;
  for (const each of frozen) each.answer = () => never;
  const { stream, answer } = await route(session);
  expect(answer.body).toMatchObject({ instance: live[0]?.identity.id });
  const asked = frozen.filter((each) => each.dispatched.at(-1)?.stream === stream);
  for (const each of asked) await expect.poll(() => each.forgotten.at(-1)?.stream).toBe(stream);
  for (const each of frozen) each.answer = async () => ({ kind: 'accepted' });
});

test("streams' ends are taken from their signed events, once, and a session's end reaches the instance", async () => {
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  const { stream, answer } = await route(session);
  const instance = instances.find((each) => each.identity.id === (answer.body as { instance: string }).instance);
  if (instance === undefined) throw new Error('no instance');
  const signed = await instance.opened(stream);
  await instance.peer
    .call('stream.events', { events: [{ event: 'opened', stream, atMs: 1 }], signed }, { timeoutMs: 60_000 })
    .then(
      () => expect.unreachable('another body under the same signature'),
      (error: unknown) => expect(error).toMatchObject({ code: 'PAM_PROOF_INVALID' }),
    );
  await expect(instance.events([{ event: 'opened', stream, atMs: 1 }], { seq: 9 })).rejects.toMatchObject({
    code: 'PAM_AUDIT_SEQUENCE',
    detail: { stored: 1 },
  });
  const listed = await anna.must<{ sessions: { session: string; openStreams: number }[] }>('GET', '/v1/sessions');
  expect(listed.sessions.find((each) => each.session === session)).toMatchObject({ openStreams: 1 });
  await anna.must('POST', `/v1/sessions/${session}/end`, { reason: 'client-closed' });
  await expect.poll(() => instance.ended.flatMap((each) => each.streams)).toContain(stream);
  expect(await anna.must('POST', `/v1/sessions/${session}/touch`, {})).toMatchObject({
    ended: 'client-closed',
  });
  expect(errorOf((await route(session)).answer).code).toBe('PAM_SESSION_ENDED');
});

test('an instance that was dispatched to parks legs, and the next dispatch is bound to one of them', async () => {
  const live = instances.filter((each) => each.ws.readyState === each.ws.OPEN);
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  for (let i = 0; i < live.length; i++) await route(session);
  const [instance] = live;
  if (instance === undefined) throw new Error('no instance');
  await expect.poll(() => instance.parkTickets.length).toBeGreaterThan(0);
  const legs = connect(router.port, '127.0.0.1');
  let heard = Buffer.alloc(0);
  legs.on('data', (bytes) => {
    heard = Buffer.concat([heard, bytes]);
  });
  legs.write(encodePreamble('park', Buffer.from(instance.parkTickets.at(-1) ?? '', 'base64url')));
  await expect.poll(() => heard[0], { timeout: 60_000 }).toBe(legStatus.parked);
  await expect
    .poll(
      async () => {
        await route(session);
        return instance.dispatched.at(-1)?.parked;
      },
      { timeout: 60_000 },
    )
    .toBe(true);
  await expect.poll(() => heard.length).toBe(34);
  expect(heard[1]).toBe(legStatus.bind);
  expect(heard.subarray(2).toString('base64url')).toBe(instance.dispatched.findLast((each) => each.parked)?.ticket);
  legs.destroy();
});

test('a standby is promoted when a member dies, and it is told', async () => {
  const standby = await scriptedInstance(router, anna, pool);
  instances.push(standby);
  expect((await standby.hello()).membership).toMatchObject({ kind: 'standby' });
  const dying = instances.find((each) => each !== standby && each.ws.readyState === each.ws.OPEN);
  dying?.close();
  await expect.poll(() => standby.memberships.at(-1)?.kind).toBe('slot');
  await expect
    .poll(async () =>
      (await gateways())[0]?.instances.filter((each) => each.state === 'ready').map((each) => each.instanceId),
    )
    .toContain(standby.identity.id);
});

test('a rejoining instance learns which of its streams the router holds as ended', async () => {
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  const { stream, answer } = await route(session);
  const instance = instances.find((each) => each.identity.id === (answer.body as { instance: string }).instance);
  if (instance === undefined) throw new Error('no instance');
  await instance.opened(stream);
  instance.close();
  await instance.closed;
  await anna.must('POST', `/v1/sessions/${session}/end`, { reason: 'stopped' });
  const again = await scriptedInstance(router, anna, pool, instance.identity);
  instances.push(again);
  await again.hello({ streams: [stream] });
  await expect.poll(() => again.ended.flatMap((each) => each.streams)).toContain(stream);
});

test('changes of the vault and the log are told to the pool; removal of the gateway ends and refuses everything', async () => {
  const live = instances.filter((each) => each.ws.readyState === each.ws.OPEN);
  const rev2 = await anna.item(made.keys, 'pamMachine', {
    uid: made.machine.uid,
    rev: 2,
    mirror: made.machine.mirror,
    facts: { title: 'changed' },
  });
  await anna.putItem(rev2);
  for (const each of live) await expect.poll(() => each.changes.at(-1)?.items).toEqual([made.machine.uid]);

  const other = await anna.newGateway(made.keys, 'other', 1);
  const lone = await scriptedInstance(router, anna, other);
  instances.push(lone);
  await lone.hello();
  const entry = await anna.entry({ kind: 'gateway-removed', gateway: other.gateway });
  await anna.must('DELETE', `/v1/gateways/${other.gateway}`, { entry }, true);
  await anna.took(entry);
  expect(await lone.closed).toMatchObject({ reason: 'PAM_GATEWAY_REMOVED' });
  expect(lone.ended).toEqual([{ streams: [], reason: 'stopped' }]);
  const late = await scriptedInstance(router, anna, other);
  await expect(late.hello()).rejects.toMatchObject({ code: 'PAM_GATEWAY_REMOVED' });
  const used = await anna.entry({ kind: 'gateway-removed', gateway: pool.gateway });
  const refused = await anna.call('DELETE', `/v1/gateways/${pool.gateway}`, { entry: used }, true);
  expect(errorOf(refused)).toMatchObject({ code: 'PAM_IN_USE' });
  expect(errorOf(refused).detail['dependants']).toContain(made.config.uid);
});
