import { createCleanup } from '@sallyport/testkit';
import { afterAll, expect, test, vi } from 'vitest';
import { newInstallation, newMachine, withPool } from './harness/installation.ts';
import { untilReady } from './harness/pool-view.ts';
import { withOpenFiles } from './harness/programs.ts';
import { startTrafficTarget, startTrafficUser, type TrafficUser, type UserStream } from './harness/traffic.ts';
import type { Tunnel } from './harness/tunnel.ts';

import { patience, until } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
afterAll(() => cleanup.run());

const hold = { up: 2 ** 31, down: 2 ** 31, bytesPerSecond: 2_048 };
let number = 0;

/** Opens `count` streams that stay, all at once; those that were served. */
async function open(user: TrafficUser, tunnel: Tunnel, count: number): Promise<readonly UserStream[]> {
  const streams = Array.from({ length: count }, () => {
    number += 1;
    return user.open({ id: `hold-${number}`, ...hold }, tunnel.port);
  });
  const isServed = await Promise.all(
    streams.map((stream) =>
      stream.first().then(
        () => true,
        () => false,
      ),
    ),
  );
  return streams.filter((_, n) => isServed[n] === true);
}

async function expectAllRun(user: TrafficUser, streams: readonly UserStream[]): Promise<void> {
  const before = new Map((await user.report()).map((one) => [one.id, one.received]));
  await until('every running stream goes on', async () => {
    const now = await user.report();
    return streams.every(({ order }) => {
      const one = now.find(({ id }) => id === order.id);
      return one !== undefined && one.wrongAt === null && one.received > (before.get(order.id) ?? 0);
    });
  });
}

test.each([
  { who: 'router', limit: 128, asked: 40 },
  { who: 'instance', limit: 80, asked: 50 },
])(
  'with no file descriptors left at the $who a stream is refused by name; what runs runs on',
  async ({ who, limit, asked }) => {
    const within = withOpenFiles(limit);
    const target = await startTrafficTarget(cleanup.later);
    const installation = await newInstallation(cleanup.later, [], who === 'router' ? { routerWithin: within } : {});
    const config = await withPool(installation);
    await newMachine(installation, 'web1', target);
    const instance = installation.startInstance(who, config, who === 'instance' ? { within } : {});
    const id = await instance.id();
    const user = await startTrafficUser(cleanup.later);
    const tunnel = await installation.openTunnel('web1');
    const running = await open(user, tunnel, asked);
    expect(running.length).toBeGreaterThan(4);
    expect(running.length).toBeLessThan(asked);
    expect(tunnel.messages()).toMatch(/PAM_[A-Z_]+/);
    await expectAllRun(user, running);
    // The link stands all the while: the instance joined once.
    await untilReady(installation, [id]);
    expect(instance.log().filter(({ msg }) => msg === 'ready')).toHaveLength(1);
    // What is given back is there for the next.
    running[0]?.giveUp();
    await until('room for one more', async () => (await open(user, tunnel, 1)).length === 1);
  },
);
