import type { InstanceId, LinkResult, StreamId } from '@sallyport/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorOf } from '../support/api-client.ts';
import { claim, installation, type Operator, secondDevice, uid } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';
import { member, type ScriptedInstance } from '../support/scripted-instance.ts';

let router: Awaited<ReturnType<typeof freshRouter>>;
let anna: Operator;
let made: Awaited<ReturnType<typeof installation>>;
let instances: ScriptedInstance[] = [];

beforeAll(async () => {
  router = await freshRouter();
  anna = await claim(router);
  made = await installation(anna);
  instances = [await member(router, anna, made.pool), await member(router, anna, made.pool)];
});
afterAll(() => {
  for (const instance of instances) instance.close();
  anna.close();
});

/** A stream that an instance opened. */
async function opened(): Promise<{ session: string; stream: StreamId; holder: ScriptedInstance }> {
  const session = await anna.newSession(made.pool.gateway, made.machine.uid);
  const stream = uid<StreamId>();
  const revs = { [made.machine.uid]: 1, [made.config.uid]: 1 };
  const { gateway } = made.pool;
  const request = await anna.request({ gateway, session, stream, resource: made.machine.uid, revs });
  const routed = await anna.must<{ instance: InstanceId }>('POST', `/v1/sessions/${session}/streams`, {
    stream,
    request,
    not: [],
  });
  const holder = instances.find((each) => each.identity.id === routed.instance);
  if (holder === undefined) throw new Error('no instance');
  await holder.events([{ event: 'opened', stream, atMs: 1 }]);
  return { session, stream, holder };
}
const resume = (session: string, stream: string, where: { readonly instance?: InstanceId } = {}) =>
  anna.call('POST', `/v1/sessions/${session}/streams/${stream}/resume`, where);

test('the device of a session gets a leg to the instance that holds its stream, and the instance another', async () => {
  const { session, stream, holder } = await opened();
  const { body } = await resume(session, stream);
  expect(body).toMatchObject({ instance: holder.identity.id });
  expect(holder.resumed.at(-1)).toMatchObject({ session, stream });
  expect(holder.resumed.at(-1)?.ticket).not.toBe((body as { ticket: string }).ticket);
});

test('a stream of another session, an unknown one and an ended session are not introduced to anybody', async () => {
  const { session, stream, holder } = await opened();
  const other = await anna.newSession(made.pool.gateway, made.machine.uid);
  const before = holder.resumed.length;
  expect(errorOf(await resume(other, stream)).code).toBe('PAM_NOT_FOUND');
  expect(errorOf(await resume(session, uid())).code).toBe('PAM_NOT_FOUND');
  expect(errorOf(await resume(uid(), stream)).code).toBe('PAM_NOT_FOUND');
  await anna.must('POST', `/v1/sessions/${session}/end`, { reason: 'stopped' });
  expect(errorOf(await resume(session, stream)).code).toBe('PAM_SESSION_ENDED');
  expect(holder.resumed).toHaveLength(before);
});

/** Routed to one and then, passing it over, to the other; nobody said yet that it is open. */
async function placedTwice() {
  const session = await anna.newSession(made.pool.gateway, made.machine.uid);
  const stream = uid<StreamId>();
  const revs = { [made.machine.uid]: 1, [made.config.uid]: 1 };
  const { gateway } = made.pool;
  const route = async (not: readonly InstanceId[]) => {
    const request = await anna.request({ gateway, session, stream, resource: made.machine.uid, revs });
    const path = `/v1/sessions/${session}/streams`;
    const { instance } = await anna.must<{ instance: InstanceId }>('POST', path, { stream, request, not });
    const found = instances.find(({ identity }) => identity.id === instance);
    if (found === undefined) throw new Error('no instance');
    return found;
  };
  const first = await route([]);
  return { session, stream, first, second: await route([first.identity.id]) };
}

test('the client is introduced where it says that its stream is open, if the stream was ever routed there', async () => {
  const { session, stream, first, second } = await placedTwice();
  const { identity } = first;
  expect((await resume(session, stream, { instance: identity.id })).body).toMatchObject({ instance: identity.id });
  expect(first.resumed.at(-1)).toMatchObject({ session, stream });
  const before = first.resumed.length;
  const stranger = `${'x'.repeat(21)}A` as InstanceId;
  expect((await resume(session, stream, { instance: stranger })).body).toMatchObject({ instance: second.identity.id });
  expect(first.resumed).toHaveLength(before);
});

test('what one instance says of an attempt that was taken back does not end the stream that another one opened', async () => {
  const end = { event: 'ended', reason: 'client-lost', atMs: 2, bytesUp: 0, bytesDown: 0 } as const;
  const early = await placedTwice();
  // The end of the second overtakes the word of the first that it is open; a kill then reaches the first.
  await early.second.events([{ ...end, stream: early.stream }]);
  await early.first.events([{ event: 'opened', stream: early.stream, atMs: 1 }]);
  expect((await resume(early.session, early.stream)).body).toMatchObject({ instance: early.first.identity.id });
  await anna.must('POST', `/v1/sessions/${early.stream}/kill`, { reason: 'audit' }, true);
  await expect.poll(() => early.first.ended.flatMap(({ streams }) => streams)).toContain(early.stream);

  // The other way round: both ended, and only then the first is heard of.
  const late = await placedTwice();
  await late.second.events([{ ...end, stream: late.stream }]);
  await late.second.events([{ ...end, stream: late.stream }]);
  await late.first.events([{ event: 'opened', stream: late.stream, atMs: 1 }]);
  expect((await resume(late.session, late.stream)).body).toMatchObject({ instance: late.first.identity.id });

  // A kill while nobody has opened it reaches both, and who opens it all the same is told again.
  const killed = await placedTwice();
  await anna.must('POST', `/v1/sessions/${killed.stream}/kill`, { reason: 'audit' }, true);
  for (const instance of [killed.first, killed.second]) {
    await expect.poll(() => instance.ended.flatMap(({ streams }) => streams)).toContain(killed.stream);
  }
  const told = killed.first.ended.length;
  await killed.first.events([{ event: 'opened', stream: killed.stream, atMs: 1 }]);
  await expect.poll(() => killed.first.ended.length).toBe(told + 1);
  expect(errorOf(await resume(killed.session, killed.stream))).toMatchObject({ code: 'PAM_SESSION_KILLED' });
});

test('a killed stream is not introduced again, and its client is told who ended it', async () => {
  const { stream, session, holder } = await opened();
  await anna.must('POST', `/v1/sessions/${stream}/kill`, { reason: 'audit' }, true);
  const before = holder.resumed.length;
  expect(errorOf(await resume(session, stream))).toMatchObject({ code: 'PAM_SESSION_KILLED' });
  expect(holder.resumed).toHaveLength(before);
});

test('what the instance refuses is passed on in its own words', async () => {
  const { session, stream, holder } = await opened();
  const error = { code: 'PAM_STREAM_GONE', message: 'the instance knows no such stream', remedy: 'r', detail: {} };
  holder.answerResume = async (): Promise<LinkResult<'stream.resume'>> => ({ kind: 'refused', error });
  expect(errorOf(await resume(session, stream))).toMatchObject({ code: error.code, message: error.message });
  holder.answerResume = async () => ({ kind: 'accepted' });
});

test('a flood of resumes is braked for that stream and for no other', async () => {
  const [flooded, other] = [await opened(), await opened()];
  const codes: string[] = [];
  for (let n = 0; n < 40; n++) {
    const answer = await resume(flooded.session, flooded.stream);
    codes.push(answer.status === 200 ? 'taken' : errorOf(answer).code);
  }
  expect(codes.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 'taken'));
  expect(codes).toContain('PAM_RATE_LIMITED');
  expect((await resume(other.session, other.stream)).status).toBe(200);
});

test('another device that knows the stream from the list cannot keep its own from resuming it', async () => {
  const { session, stream } = await opened();
  const other = await secondDevice(router.port, anna);
  for (let n = 0; n < 40; n++) {
    const answer = await other('POST', `/v1/sessions/${session}/streams/${stream}/resume`, {});
    expect(['PAM_NOT_FOUND', 'PAM_RATE_LIMITED']).toContain(errorOf(answer).code);
  }
  expect((await resume(session, stream)).status).toBe(200);
});

test('the list shows since when a stream has no carrier and until when it is waited for, by its holder only', async () => {
  const { session, stream, holder } = await opened();
  const views = async () => {
    const { sessions } = await anna.must<{ sessions: { session: string; streams: object[] }[] }>(
      'GET',
      '/v1/sessions?streams=yes',
    );
    return sessions.find((each) => each.session === session)?.streams;
  };
  const liar = instances.find((each) => each !== holder);
  await liar?.events([{ event: 'detached', stream, atMs: 5, untilMs: 6 }]);
  expect(await views()).toMatchObject([{ detachedAtMs: null }]);
  await holder.events([{ event: 'detached', stream, atMs: 1_000, untilMs: 76_000 }]);
  expect(await views()).toMatchObject([{ state: 'open', detachedAtMs: 1_000, detachedUntilMs: 76_000 }]);
  await holder.events([{ event: 'resumed', stream, atMs: 2_000 }]);
  expect(await views()).toMatchObject([{ state: 'open', detachedAtMs: null, detachedUntilMs: null }]);
});

test('while its instance is away it says to ask again, and once that is lost that it is gone', async () => {
  const { session, stream, holder } = await opened();
  holder.close();
  await holder.closed;
  await expect.poll(async () => errorOf(await resume(session, stream)).code).toMatch(/PAM_STREAM_(?:NOT_HERE|GONE)/);
  await expect
    .poll(async () => errorOf(await resume(session, stream)).code, { timeout: 60_000, interval: 600 })
    .toBe('PAM_STREAM_GONE');
});

test('a stream of an instance that was cut is gone as soon as the pool calls the instance lost', async () => {
  const short = await freshRouter({ timing: { cutMs: 2_700, detachMs: 1_500, unwantedMs: 1_500 } });
  const bert = await claim(short);
  const { pool, machine, config } = await installation(bert);
  const silent = await member(short, bert, pool);
  const session = await bert.newSession(pool.gateway, machine.uid);
  const stream = uid<StreamId>();
  const revs = { [machine.uid]: 1, [config.uid]: 1 };
  const request = await bert.request({ gateway: pool.gateway, session, stream, resource: machine.uid, revs });
  await bert.must('POST', `/v1/sessions/${session}/streams`, { stream, request, not: [] });
  await silent.opened(stream);
  // From here on it does not beat.
  Object.assign(silent.ws, { ping: () => undefined });
  await silent.closed;
  const ask = () => bert.call('POST', `/v1/sessions/${session}/streams/${stream}/resume`, {});
  await expect.poll(async () => errorOf(await ask()).code, { timeout: 50_000, interval: 600 }).toBe('PAM_STREAM_GONE');
  silent.close();
  bert.close();
});
