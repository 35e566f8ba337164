import type { AuditEvent, GatewayView, InstanceId, SessionId, StreamId } from '@sallyport/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorOf } from '../support/api-client.ts';
import { claim, installation, type Operator, type PoolKeys, uid } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';
import { member, type ScriptedInstance } from '../support/scripted-instance.ts';

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

async function join(): Promise<ScriptedInstance> {
  const instance = await member(router, anna, pool);
  instances.push(instance);
  return instance;
}
async function pools(): Promise<GatewayView> {
  const { gateways } = await anna.must<{ gateways: GatewayView[] }>('GET', '/v1/gateways');
  const [only] = gateways;
  if (only === undefined) throw new Error('no gateway');
  return only;
}
const shown = async (): Promise<Record<string, string>> =>
  Object.fromEntries((await pools()).instances.map((one) => [one.instanceId, one.state]));
const idOf = (instance: ScriptedInstance): InstanceId => instance.identity.id;
const intend = (instance: InstanceId, intent: object) =>
  anna.call('PUT', `/v1/gateways/${pool.gateway}/instances/${instance}/intent`, { intent }, true);
const resize = (body: object) => anna.call('PATCH', `/v1/gateways/${pool.gateway}`, body, true);
const drain = { kind: 'drain', deadlineInMs: 600_000, replace: false } as const;
/** Waits until the router listed it so; events of links reach it a moment later. */
async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function stream(session: SessionId): Promise<{ stream: StreamId; instance: InstanceId | null; code: string }> {
  const id = uid<StreamId>();
  const { machine, config } = made;
  const request = await anna.request({
    gateway: pool.gateway,
    session,
    stream: id,
    resource: machine.uid,
    revs: { [machine.uid]: 1, [config.uid]: 1 },
  });
  const answer = await anna.call('POST', `/v1/sessions/${session}/streams`, { stream: id, request, not: [] });
  if (answer.status >= 300) return { stream: id, instance: null, code: errorOf(answer).code };
  return { stream: id, instance: (answer.body as { instance: InstanceId }).instance, code: '' };
}

test('a cordoned instance is told, shown and passed over with its reason, and comes back when uncordoned', async () => {
  const [a, b] = [await join(), await join()];
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  expect((await intend(idOf(a), { kind: 'cordon' })).body).toMatchObject({ membership: 'slot', deadlineAtMs: null });
  expect(await shown()).toEqual({ [idOf(a)]: 'cordoned', [idOf(b)]: 'ready' });
  await until(() => a.intents.length === 1);
  expect(a.intents).toEqual([{ kind: 'cordon' }]);
  for (let i = 0; i < 3; i++) expect((await stream(session)).instance).toBe(idOf(b));
  const why = await anna.must<{ streams: { decisions: { candidates: { excluded: string | null }[] }[] }[] }>(
    'GET',
    '/v1/sessions/last/why',
  );
  expect(why.streams[0]?.decisions[0]?.candidates.map((one) => one.excluded)).toContain('cordoned');
  await intend(idOf(a), { kind: 'serve' });
  expect(await shown()).toEqual({ [idOf(a)]: 'ready', [idOf(b)]: 'ready' });
  const picks = [await stream(session), await stream(session)].map((one) => one.instance);
  expect(picks).toContain(idOf(a));
});

test('a drain cannot be taken back, is told with the time left, and told again to an instance that comes back', async () => {
  const [a = await join(), b = await join()] = instances;
  const before = Date.now();
  const reply = (await intend(idOf(a), drain)).body as { deadlineAtMs: number };
  expect(reply.deadlineAtMs).toBeGreaterThanOrEqual(before + 600_000);
  await until(() => a.intents.at(-1)?.kind === 'drain');
  expect(a.intents.at(-1)).toMatchObject({ by: 'operator', deadlineAtMs: reply.deadlineAtMs });
  expect(errorOf(await intend(idOf(a), { kind: 'serve' })).code).toBe('PAM_CONFLICT');
  expect(errorOf(await intend(uid<InstanceId>(), drain)).code).toBe('PAM_NOT_FOUND');
  expect(await shown()).toEqual({ [idOf(a)]: 'draining', [idOf(b)]: 'ready' });
  expect((await pools()).instances[0]?.drain).toEqual({
    by: 'operator',
    deadlineAtMs: reply.deadlineAtMs,
    replace: false,
  });
  a.close();
  await a.closed;
  const { scriptedInstance } = await import('../support/scripted-instance.ts');
  const again = await scriptedInstance(router, anna, pool, a.identity);
  instances.push(again);
  await again.hello();
  await until(() => again.intents.length === 1);
  expect(again.intents[0]).toMatchObject({ kind: 'drain', deadlineAtMs: reply.deadlineAtMs });
  await again.peer.call('link.bye', { reason: 'drained' }, { timeoutMs: 60_000 });
  await again.closed;
  expect(await shown()).toEqual({ [idOf(b)]: 'ready' });
});

test('an instance that drains by its own word is not picked any more and shown so', async () => {
  const [, b = await join()] = instances;
  const own = await join();
  await own.peer.call('link.drain', { deadlineInMs: 300_000 }, { timeoutMs: 60_000 });
  expect(await shown()).toEqual({ [idOf(b)]: 'ready', [idOf(own)]: 'draining' });
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  for (let i = 0; i < 3; i++) expect((await stream(session)).instance).toBe(idOf(b));
  await own.peer.call('link.bye', { reason: 'drained' }, { timeoutMs: 60_000 });
});

test('a surplus drains fewest streams first, then the youngest, and says who', async () => {
  const [, b = await join()] = instances;
  const [c, d] = [await join(), await join()];
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  // One turn each; the two youngest then end theirs, so that they tie.
  for (let i = 0; i < 3; i++) {
    const placed = await stream(session);
    const holder = [b, c, d].find((one) => idOf(one) === placed.instance);
    await holder?.opened(placed.stream);
    if (holder === b) continue;
    const atMs = Date.now();
    await holder?.events([
      { event: 'ended', stream: placed.stream, atMs, reason: 'client-closed', bytesUp: 0, bytesDown: 0 },
    ]);
  }
  const answer = await resize({ maxInstances: 2, drainSurplus: { deadlineInMs: 60_000 } });
  expect(answer.body).toMatchObject({ admitted: 3, drained: [{ instance: idOf(d), streams: 0 }] });
  const more = await resize({ maxInstances: 1, drainSurplus: { deadlineInMs: 60_000 } });
  expect(more.body).toMatchObject({ admitted: 3, drained: [{ instance: idOf(c), streams: 0 }] });
  expect(await shown()).toEqual({ [idOf(b)]: 'ready', [idOf(c)]: 'draining', [idOf(d)]: 'draining' });
  await until(() => d.intents.at(-1)?.kind === 'drain');
  expect(d.intents.at(-1)).toMatchObject({ by: 'surplus' });
  for (const gone of [c, d]) await gone.peer.call('link.bye', { reason: 'drained' }, { timeoutMs: 60_000 });
});

test('a standby that is drained is told and gone', async () => {
  const waiting = await join();
  expect((await shown())[idOf(waiting)]).toBe('standby');
  expect((await intend(idOf(waiting), drain)).body).toMatchObject({ membership: 'standby' });
  await waiting.closed;
  expect(waiting.intents.at(-1)).toMatchObject({ kind: 'drain', deadlineInMs: 0 });
  expect((await shown())[idOf(waiting)]).toBeUndefined();
});

test('a killed stream ends at its instance with who and why; a killed session takes no more streams', async () => {
  const [, b = await join()] = instances;
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  const [one, two] = [await stream(session), await stream(session)];
  const kill = (id: string, reason = '') => anna.call('POST', `/v1/sessions/${id}/kill`, { reason }, true);
  expect((await kill(one.stream, 'wrong host')).body).toEqual({ killed: 'stream', session, streams: 1, untold: 0 });
  await until(() => b.ended.some((each) => each.reason === 'killed'));
  expect(b.ended.at(-1)).toEqual({ streams: [one.stream], reason: 'killed', words: 'by anna: wrong host' });
  expect((await stream(session)).code).toBe('');
  expect((await kill(session)).body).toMatchObject({ killed: 'session', streams: 2, untold: 0 });
  expect((await anna.call('POST', `/v1/sessions/${session}/touch`, {})).body).toEqual({
    ended: 'killed',
    words: 'by anna',
  });
  expect((await stream(session)).code).toBe('PAM_SESSION_KILLED');
  expect(errorOf(await kill(session)).code).toBe('PAM_SESSION_ENDED');
  expect(errorOf(await kill(uid())).code).toBe('PAM_NOT_FOUND');
  expect(two.instance).toBe(idOf(b));
});

test('a stream that is killed while its instance still looks at the dispatch does not come to run', async () => {
  const [, b = await join()] = instances;
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  const before = b.dispatched.length;
  const looked = Promise.withResolvers<void>();
  b.answer = async () => {
    await looked.promise;
    return { kind: 'accepted' };
  };
  const placing = stream(session);
  await until(() => b.dispatched.length > before);
  const killed = b.dispatched.at(-1)?.stream;
  const answer = await anna.call('POST', `/v1/sessions/${killed}/kill`, { reason: 'now' }, true);
  expect(answer.body).toMatchObject({ killed: 'stream', streams: 1 });
  await until(() => b.ended.some(({ streams }) => streams.includes(killed as StreamId)));
  const told = b.ended.length;
  looked.resolve();
  expect((await placing).code).toBe('PAM_SESSION_KILLED');
  await until(() => b.ended.length > told);
  expect(b.ended.at(-1)).toMatchObject({ streams: [killed] });
  b.answer = async () => ({ kind: 'accepted' });
});

test('a kill whose instance has no link is recorded, and ends the stream when the instance returns', async () => {
  const [, b = await join()] = instances;
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  const placed = await stream(session);
  await b.opened(placed.stream);
  b.close();
  await b.closed;
  await until(async () => (await pools()).instances.every((one) => one.health === 'absent'));
  const killed = await anna.call('POST', `/v1/sessions/${placed.stream}/kill`, { reason: 'late' }, true);
  expect(killed.body).toMatchObject({ streams: 1, untold: 1 });
  const { scriptedInstance } = await import('../support/scripted-instance.ts');
  const again = await scriptedInstance(router, anna, pool, b.identity);
  instances.push(again);
  await again.hello({ streams: [placed.stream] });
  await until(() => again.ended.length > 0);
  expect(again.ended).toEqual([{ streams: [placed.stream], reason: 'killed', words: 'by anna: late' }]);
});

test('what an instance that says bye did not report as ended is not shown as running', async () => {
  await join();
  const session = await anna.newSession(pool.gateway, made.machine.uid);
  const placed = await stream(session);
  const leaver = instances.findLast((each) => idOf(each) === placed.instance);
  if (leaver === undefined) return expect.unreachable(placed.code);
  await leaver.peer.call('link.bye', { reason: 'stopped' }, { timeoutMs: 60_000 });
  await until(async () => {
    const { sessions } = await anna.must<{
      sessions: { session: string; streams: { stream: string; reason: string }[] }[];
    }>('GET', '/v1/sessions?streams=yes');
    const streams = sessions.find((each) => each.session === session)?.streams;
    return streams?.find((each) => each.stream === placed.stream)?.reason === 'instance-lost';
  });
});

test('every word of an operator is in the audit log with his signature', async () => {
  const { events } = await anna.must<{ events: AuditEvent[] }>('GET', '/v1/audit?limit=500');
  const kinds = ['instance.cordoned', 'instance.uncordoned', 'instance.drained', 'gateway.resized', 'session.killed'];
  for (const kind of kinds) {
    const event = events.find((one) => one.kind === kind);
    expect([kind, event?.actorEvent]).toEqual([kind, expect.any(String)]);
  }
});
