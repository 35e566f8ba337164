import { setTimeout as pause } from 'node:timers/promises';
import {
  createCleanup,
  newShiftableClock,
  type ShiftableClock,
  startNetworkLab,
  requireNetworkLab,
} from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import type { Instance } from './harness/instance.ts';
import { untilReady, viewPool } from './harness/pool-view.ts';
import { startTrafficTarget, startTrafficUser, type TrafficUser, type UserStream } from './harness/traffic.ts';
import type { Tunnel } from './harness/tunnel.ts';

import { patience, until } from './harness/until.ts';

vi.setConfig(patience);

const { isMissing } = requireNetworkLab();
const hourMs = 3_600_000;
const cleanup = createCleanup();
let installation: Installation;
let members: readonly Instance[] = [];
let standbys: readonly Instance[] = [];
let user: TrafficUser;
let tunnel: Tunnel;
let clocks: { readonly router: ShiftableClock; readonly instance: ShiftableClock };
let cutRouter: (cut: boolean) => void = () => undefined;

/** A pool of three with two standbys; router, and everybody else, on two machines of a lab. */
beforeAll(async () => {
  if (isMissing) return;
  const lab = startNetworkLab(cleanup.later, ['router', 'rest']);
  const [router, rest] = [lab.host('router'), lab.host('rest')];
  clocks = { router: newShiftableClock(cleanup.later), instance: newShiftableClock(cleanup.later) };
  const target = await startTrafficTarget(cleanup.later, rest);
  installation = await newInstallation(cleanup.later, [], { router, routerEnv: clocks.router.env, user: rest });
  const config = await withPool(installation, 3, '10.77.0.0/24');
  await newMachine(installation, 'web1', target);
  const start = (name: string, env = {}): Instance =>
    installation.startInstance(name, config, { within: rest.within, env });
  members = [start('one', clocks.instance.env), start('two'), start('three')];
  await Promise.all(members.map((instance) => instance.id()));
  standbys = [start('four'), start('five')];
  await Promise.all(standbys.map((instance) => instance.said('waiting as standby')));
  user = await startTrafficUser(cleanup.later, rest);
  tunnel = await installation.openTunnel('web1');
  // A balancer that restarts: what stood is reset, what is dialled is refused.
  cutRouter = (cut) => {
    router.setFaults(cut ? [{ kind: 'reset', direction: 'in' }] : []);
    if (cut) router.resetConnections();
  };
});
afterAll(() => cleanup.run());

let streams = 0;
/** A stream a member, running slowly for longer than any test. */
async function runStreams(): Promise<readonly UserStream[]> {
  const opened = members.map(() => {
    streams += 1;
    const order = { id: `running-${streams}`, up: 2 ** 31, down: 2 ** 31, bytesPerSecond: 4_096 };
    return user.open(order, tunnel.port);
  });
  await Promise.all(opened.map((stream) => stream.first()));
  return opened;
}

/** None of them ended, every byte so far was right, and each goes on. */
async function expectRunning(running: readonly UserStream[]): Promise<void> {
  const before = await user.report();
  for (const stream of running) {
    const at = before.find(({ id }) => id === stream.order.id);
    expect(stream.end()).toBeUndefined();
    await until(`${stream.order.id} goes on`, async () => {
      if (stream.end() !== undefined) throw new Error(`${stream.order.id} ended: ${stream.end()?.how}`);
      const now = (await user.report()).find(({ id }) => id === stream.order.id);
      if (now !== undefined && now.wrongAt !== null) throw new Error(`${now.id}: wrong byte at ${now.wrongAt}`);
      return now !== undefined && now.received > (at?.received ?? 0);
    });
  }
  for (const stream of running) stream.giveUp();
}

const idsOf = (instances: readonly Instance[]): Promise<string[]> => Promise.all(instances.map((one) => one.id()));

/** The members hold the slots, the standbys wait. One whose redial met a shifted clock is refused, and comes later. */
async function expectSamePool(): Promise<void> {
  await untilReady(installation, await idsOf(members));
  const wanted = (await idsOf(standbys)).toSorted();
  await until('the standbys wait', async () => {
    const { instances } = await viewPool(installation);
    const waiting = instances.filter(({ state }) => state === 'standby').map((one) => one.instance_id);
    return instances.length === members.length + wanted.length && waiting.toSorted().join() === wanted.join();
  });
}

test.skipIf(isMissing)('a router that is stopped for 10 s and goes on loses nobody and no stream', async () => {
  const running = await runStreams();
  const joins = (await auditOf('instance.joined')).length;
  installation.router.child.kill('SIGSTOP');
  // The length of the pause is the point.
  await pause(10_000);
  installation.router.child.kill('SIGCONT');
  await expectRunning(running);
  await expectSamePool();
  // The instances redial, for they cannot know; the router itself judged nobody.
  expect(await auditOf('instance.lost')).toEqual([]);
  expect((await auditOf('instance.joined')).length).toBeGreaterThanOrEqual(joins);
});

/** Lines of the audit trail of one kind. */
async function auditOf(kind: string): Promise<readonly unknown[]> {
  const text = JSON.stringify(await installation.json(['audit', 'list']));
  return text.split(`"${kind}"`).slice(1);
}

test.skipIf(isMissing)('when all links of the pool are cut for 4 s nobody is displaced', async () => {
  const running = await runStreams();
  const promotions = standbys.map((one) => one.log().filter(({ msg }) => msg === 'promoted').length);
  cutRouter(true);
  await pause(4_000);
  cutRouter(false);
  await expectSamePool();
  expect(standbys.map((one) => one.log().filter(({ msg }) => msg === 'promoted').length)).toEqual(promotions);
  for (const stream of running) stream.giveUp();
});

test.skipIf(isMissing)('a wall clock that jumps an hour, at the router or at an instance, ends nothing', async () => {
  const running = await runStreams();
  for (const ms of [hourMs, -hourMs]) {
    for (const clock of [clocks.router, clocks.instance]) {
      clock.shift(ms);
      // Several beats, and twenty looks of the pool's judge.
      await pause(1_000);
      clock.shift(0);
    }
  }
  await expectRunning(running);
  await expectSamePool();
  const fresh = user.open({ id: 'after-the-jump', up: 10, down: 10, bytesPerSecond: 0 }, tunnel.port);
  expect(await fresh.ended()).toMatchObject({ how: 'fin', received: 10, wrongAt: null });
});
