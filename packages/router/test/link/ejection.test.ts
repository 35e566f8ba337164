import {
  type Decision,
  type GatewayView,
  type InstanceId,
  replayDecision,
  type StreamId,
  type StreamView,
} from '@sallyport/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { claim, installation, type Operator, uid } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';
import { member, type ScriptedInstance, scriptedInstance } from '../support/scripted-instance.ts';

let router: Awaited<ReturnType<typeof freshRouter>>;
let anna: Operator;
let made: Awaited<ReturnType<typeof installation>>;
let session = '';
const instances: ScriptedInstance[] = [];

beforeAll(async () => {
  router = await freshRouter();
  anna = await claim(router);
  made = await installation(anna);
  for (let i = 0; i < 3; i++) instances.push(await member(router, anna, made.pool));
  session = await anna.newSession(made.pool.gateway, made.machine.uid);
});
afterAll(() => {
  for (const instance of instances) instance.close();
  anna.close();
});

async function route(stream: StreamId, not: InstanceId[] = []): Promise<ScriptedInstance> {
  const { machine, config, pool } = made;
  const revs = { [machine.uid]: 1, [config.uid]: 1 };
  const of = { gateway: pool.gateway, session: session as never, stream, resource: machine.uid, revs };
  const request = await anna.request(of);
  const answer = await anna.call('POST', `/v1/sessions/${session}/streams`, { stream, request, not });
  const { instance } = answer.body as { instance: string };
  const picked = instances.find((each) => each.identity.id === instance);
  if (picked === undefined) throw new Error(JSON.stringify(answer.body));
  return picked;
}

async function explained(): Promise<{ stream: StreamView; decisions: Decision[] }[]> {
  return (
    await anna.must<{ streams: { stream: StreamView; decisions: Decision[] }[] }>('GET', `/v1/sessions/${session}/why`)
  ).streams;
}

const unreached = (instance: ScriptedInstance, stream: StreamId): Promise<string> =>
  instance.events([
    {
      event: 'ended',
      stream,
      atMs: Date.now(),
      reason: 'target-refused',
      bytesUp: 0,
      bytesDown: 0,
      unreached: 'timeout',
    },
  ]);

test('an instance that says it could not reach what another opened is passed over, and why shows it', async () => {
  const stream = uid<StreamId>();
  const cut = await route(stream);
  await unreached(cut, stream);
  const other = await route(stream, [cut.identity.id]);
  expect(other).not.toBe(cut);
  await other.opened(stream);
  const served = new Set<string>();
  for (let i = 0; i < 6; i++) {
    const next = uid<StreamId>();
    const picked = await route(next);
    served.add(picked.identity.id);
    await picked.opened(next);
  }
  expect(served).not.toContain(cut.identity.id);
  expect(served.size).toBe(2);
  const streams = await explained();
  const last = streams[0]?.decisions.at(-1)?.candidates.find((one) => one.instance === cut.identity.id);
  expect(last).toMatchObject({ class: 1, note: 'ejected: could not reach this resource (1 in a row)' });
  const remaining = (last?.untilMs ?? 0) - (streams[0]?.decisions.at(-1)?.atMs ?? 0);
  expect(remaining).toBeGreaterThan(0);
  expect(remaining).toBeLessThanOrEqual(12_000);
  // The first instance's word came before the client's retry: the stream is not over for it.
  expect(streams.find((one) => one.stream.stream === stream)?.stream).toMatchObject({
    state: 'open',
    instance: other.identity.id,
  });
  const [gateway] = (await anna.must<{ gateways: GatewayView[] }>('GET', '/v1/gateways')).gateways;
  expect(gateway?.instances.find((one) => one.instanceId === cut.identity.id)).toMatchObject({
    state: 'ready',
    reason: 'cannot reach 1 target that others reach',
  });
});

test('every decision that was recorded gives its pick again when it is replayed', async () => {
  const decisions = (await explained()).flatMap((one) => one.decisions);
  expect(decisions.length).toBeGreaterThanOrEqual(8);
  for (const decision of decisions) expect(replayDecision(decision)).toBe(decision.pick);
});

test('an instance at the number of streams that it told in its hello is given no more, and lists show the number', async () => {
  for (const instance of instances.splice(0)) {
    await instance.peer.call('link.bye', { reason: 'stopped' }, { timeoutMs: 60_000 });
    await instance.closed;
  }
  const small = await scriptedInstance(router, anna, made.pool);
  instances.push(small);
  await small.hello({ streams: [], maxStreams: 1 });
  await route(uid<StreamId>());
  await expect(route(uid<StreamId>())).rejects.toThrow('session limit: runs 1 of 1 streams');
  const [gateway] = (await anna.must<{ gateways: GatewayView[] }>('GET', '/v1/gateways')).gateways;
  const shown = gateway?.instances.find((one) => one.instanceId === small.identity.id);
  expect(shown).toMatchObject({ streams: 1, maxStreams: 1 });
});
