import { type InstanceId, PamError } from '@sallyport/protocol';
import { createFakeClock, type FakeClock, settle } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { createPoolService, type PoolService, type PoolStore } from '../../src/pool/index.ts';
import { defaultTiming } from '../../src/pool/timing.ts';
import { portsOver } from '../../src/store/ports.ts';
import { SqliteEngine } from '../../src/store/sqlite-engine.ts';
import { appUid, gatewayUid, host, instanceId } from '../store/samples.ts';

const gateway = gatewayUid();

interface Bench {
  readonly clock: FakeClock;
  readonly store: PoolStore;
  readonly service: PoolService;
  readonly events: string[];
  /** The next store calls fail with this. */
  failing: PamError | null;
  hello(name: string, link?: string, noStandby?: boolean): ReturnType<PoolService['hello']>;
}

async function bench(maxInstances: number): Promise<Bench> {
  const engine = new SqliteEngine(':memory:');
  engine.migrate(0);
  const clock = createFakeClock();
  const events: string[] = [];
  const made: { failing: PamError | null } = { failing: null };
  const { pool: store } = portsOver(async (calls) => {
    await Promise.resolve();
    if (made.failing !== null) throw made.failing;
    return engine.runCalls(calls);
  });
  await store.createGateway({ uid: gateway, app: appUid(), maxInstances, token: null, nowMs: clock.nowMs() });
  const every = (ms: number, fn: () => void): (() => void) => {
    let cancel = (): void => undefined;
    const again = (): void => {
      cancel = clock.after(ms, () => {
        fn();
        again();
      });
    };
    again();
    return () => cancel();
  };
  const service = createPoolService({
    store,
    clock: { nowMs: clock.nowMs, monotonicMs: clock.monotonicMs, every },
    timing: defaultTiming,
    effects: {
      tell: (link, membership) => events.push(`tell ${link} ${membership.kind}`),
      intend: (link, intent) => events.push(`intend ${link} ${intent.kind}`),
      cut: (link, error) => events.push(`cut ${link} ${error.code}`),
      lost: (_gateway, instance) => events.push(`lost ${instance.replaceAll('_', '')}`),
      duplicate: (instance, kept, refused) =>
        events.push(`duplicate ${instance.replaceAll('_', '')} ${kept} ${refused}`),
      failed: (error) => events.push(`failed ${error.code}`),
      ejected: ({ instance }, how) => events.push(`${how === null ? 'returned' : 'ejected'} ${instance}`),
    },
    random: () => 0.5,
  });
  await service.start();
  const hello: Bench['hello'] = (name, link = name, noStandby = false) =>
    service.hello(link, { gateway, instance: instanceId(name), noStandby, host, version: '0.1.0', address: 'a' }, null);
  return Object.assign(made, { clock, store, service, events, hello });
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'nothing was thrown';
  } catch (reason) {
    return reason instanceof PamError ? `${reason.code} ${reason.message}` : 'something else';
  }
}

const notTried: readonly InstanceId[] = [];

test('tells the first a slot, the next to wait, and whoever will not wait that the pool is full', async () => {
  const { hello, service } = await bench(1);
  const first = await hello('a');
  expect(first).toMatchObject({
    membership: { kind: 'slot', seq: 1 },
    maxInstances: 1,
    admitted: 1,
    beatMs: 250,
    suspectMs: 1_000,
  });
  const second = await hello('b');
  expect(second.membership).toEqual({ kind: 'standby', position: 1, reason: 'pool full: maximum 1, connected 1' });
  expect(await codeOf(hello('c', 'c', true))).toBe('PAM_POOL_FULL pool full: maximum 1, connected 1');
  for (let i = 0; i < 11; i += 1) await hello(`w${i}`);
  expect(await codeOf(hello('d'))).toBe('PAM_POOL_STANDBY_FULL pool full: maximum 1, connected 1, waiting 12');
  expect(
    service
      .view(gateway)
      ?.instances.map((view) => view.state)
      .slice(0, 3),
  ).toEqual(['ready', 'standby', 'standby']);
});

test('promotes the standby when the member says bye, and dispatches once it acknowledged', async () => {
  const { hello, service, events } = await bench(1);
  await hello('a');
  await hello('b');
  await service.bye('a', 'stopped');
  service.linkClosed('a');
  await settle();
  expect(events).toEqual(['tell b slot']);
  expect(service.route({ gateway, of: null, not: notTried, cause: 'first' }).picked).toBeNull();
  const epoch = (service.list()[0]?.gateway.version ?? 0) > 0 ? 2 ** 32 + 2 : 0;
  service.acknowledged('b', epoch);
  expect(service.route({ gateway, of: null, not: notTried, cause: 'first' }).picked).toEqual({
    instance: instanceId('b'),
    link: 'b',
    epoch,
    probe: false,
  });
});

test('promotes within RJ + 1 s of a death that was only a closed link', async () => {
  const { hello, service, events, clock } = await bench(1);
  await hello('a');
  await hello('b');
  service.linkClosed('a');
  let seq = 0;
  for (let ms = 0; ms < defaultTiming.reserveMs + 200; ms += 200) {
    await clock.advance(200);
    seq += 1;
    service.beat('b', { seq, heard: seq });
  }
  expect(events).toEqual(['tell b slot']);
});

test('answers a hello whose link closed meanwhile, whose gateway is gone, or whose store is away', async () => {
  const made = await bench(1);
  const late = made.hello('a');
  made.service.linkClosed('a');
  expect(await codeOf(late)).toContain('PAM_LEG_FAILED');
  const stranger = {
    gateway: gatewayUid('other'),
    instance: instanceId('x'),
    noStandby: false,
    host,
    version: '1',
    address: 'a',
  };
  expect(await codeOf(made.service.hello('x', stranger, null))).toContain('PAM_GATEWAY_REMOVED');
  made.failing = new PamError('PAM_STORE_AWAY', 'gone fishing');
  expect(await codeOf(made.hello('b'))).toBe('PAM_STORE_AWAY gone fishing');
  expect(made.events).toEqual(['failed PAM_STORE_AWAY']);
  made.failing = null;
  expect((await made.hello('b', 'b2')).membership.kind).toBe('slot');
});

test('goes on by itself when the store is back after a failed promotion', async () => {
  const made = await bench(1);
  await made.hello('a');
  await made.hello('b');
  made.service.linkClosed('a');
  made.failing = new PamError('PAM_STORE_AWAY', 'gone fishing');
  let seq = 0;
  const live = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 200) {
      await made.clock.advance(200);
      seq += 1;
      made.service.beat('b', { seq, heard: seq });
    }
  };
  await live(2_000);
  expect(new Set(made.events)).toEqual(new Set(['failed PAM_STORE_AWAY']));
  made.failing = null;
  await live(1_400);
  expect(made.events.at(-1)).toBe('tell b slot');
});

test('refuses a second process with the identity of a living one, and reports both', async () => {
  const { hello, service, events } = await bench(2);
  await hello('a');
  const copy = hello('a', 'copy');
  await settle();
  service.beat('a', { seq: 1, heard: 1 });
  expect(await codeOf(copy)).toContain('PAM_INSTANCE_DUPLICATE');
  expect(events).toEqual(['duplicate a a copy']);
  const [kept] = service.view(gateway)?.instances ?? [];
  expect(kept).toMatchObject({
    state: 'ready',
    reason: expect.stringMatching(/^another process used its identity, from/),
  });
});

test('sets the maximum at once, fills what became free, and says what it was', async () => {
  const { hello, service, events } = await bench(1);
  for (const name of ['a', 'b', 'c']) await hello(name);
  expect(await service.setMaxInstances(gateway, 2)).toEqual({ before: 1, maxInstances: 2, admitted: 1 });
  await settle();
  expect(events).toEqual(['tell b slot']);
  expect(await service.setMaxInstances(gateway, 1)).toEqual({ before: 2, maxInstances: 1, admitted: 2 });
  expect(service.view(gateway)?.instances.filter((view) => view.state !== 'standby')).toHaveLength(2);
  expect(await codeOf(service.setMaxInstances(gatewayUid('other'), 2))).toContain('PAM_NOT_FOUND');
});

test('cuts everybody when the gateway is removed, and answers who is on the way', async () => {
  const { hello, service, events, store, clock } = await bench(2);
  await hello('a');
  const late = hello('b');
  await store.removeGateway({ uid: gateway, nowMs: clock.nowMs() });
  service.gatewayRemoved(gateway);
  expect(await codeOf(late)).toContain('PAM_GATEWAY_REMOVED');
  expect(events).toEqual(['cut a PAM_GATEWAY_REMOVED']);
  expect(service.list()).toEqual([]);
  expect(() => service.route({ gateway, of: null, not: notTried, cause: 'first' })).toThrow('there is no gateway');
});

test('leaves no timer behind when it stops', async () => {
  const { service, clock } = await bench(1);
  expect(clock.pending()).toBe(1);
  service.stop();
  expect(clock.pending()).toBe(0);
});
