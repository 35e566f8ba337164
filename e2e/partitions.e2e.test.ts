import { createCleanup, loss, oneWay, type PacketFault, silence, requireNetworkLab } from '@sallyport/testkit';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { type LabInstance, type LabPool, startLabPool } from './harness/lab-pool.ts';
import { newMachine } from './harness/installation.ts';
import { untilReady, viewInstance } from './harness/pool-view.ts';
import { startTrafficTarget, type TrafficTarget } from './harness/traffic.ts';
import type { Tunnel } from './harness/tunnel.ts';
import { patience, until } from './harness/until.ts';

vi.setConfig(patience);

const { isMissing } = requireNetworkLab();
const names = ['one', 'two', 'three', 'four'];
const cleanup = createCleanup();
let pool: LabPool;
/** A second target, on a machine of its own. */
let other: TrafficTarget;
let aside: Tunnel;

beforeAll(async () => {
  if (isMissing) return;
  pool = await startLabPool(cleanup.later, names, ['other']);
  other = await startTrafficTarget(cleanup.later, pool.lab.host('other'));
  await newMachine(pool.installation, 'web2', other);
  aside = await pool.installation.openTunnel('web2');
});
afterEach(async () => {
  if (isMissing) return;
  for (const { host, instance } of pool.instances) {
    host.setFaults([]);
    instance.child.kill('SIGCONT');
  }
  await untilReady(
    pool.installation,
    pool.instances.map(({ id }) => id),
  );
});
afterAll(() => cleanup.run());

const served = { how: 'fin', received: 20, sent: 20, wrongAt: null, finAfter: 20 };

/**
 * Four requests go round the pool; the instance that served the first is next. A member that answered late on a busy machine is
 * passed over for a moment, and then another round is gone.
 */
async function nextInTurn(): Promise<LabInstance> {
  return until('a round in which each has its turn', async () => {
    const round: (LabInstance | undefined)[] = [];
    for (let n = 0; n < names.length; n += 1) round.push((await pool.request()).by);
    return new Set(round).size === names.length ? round[0] : null;
  });
}

test.skipIf(isMissing)(
  'the first request after an instance froze is served elsewhere; thawed, it does not dial the target',
  async () => {
    const frozen = await nextInTurn();
    const before = pool.seenFrom(frozen);
    frozen.instance.child.kill('SIGSTOP');
    const first = await pool.request();
    expect(first).toMatchObject(served);
    expect(first.by).not.toBe(frozen);
    console.info(`gap after SIGSTOP of an instance: ${Math.round(first.firstMs ?? -1)} ms to the first byte`);
    // Until its links are cut: whatever it was asked is old by then.
    await until('the router gave it up', async () => {
      const row = await viewInstance(pool.installation, frozen.id);
      return row?.health === 'absent';
    });
    frozen.instance.child.kill('SIGCONT');
    await untilReady(pool.installation, [frozen.id]);
    expect(pool.seenFrom(frozen)).toBe(before);
    // It is not merely deaf: its next turn is its own, unless it answers late on a busy machine.
    await until('it has its turn', async () => (await pool.request()).by === frozen);
    expect(pool.seenFrom(frozen)).toBe(before + 1);
  },
);

test.skipIf(isMissing)(
  'packets that vanish both ways, or one way alone, make an instance suspect at both ends; it comes back with its slot',
  async () => {
    const { address } = pool.router;
    const faults: readonly (readonly PacketFault[])[] = [
      silence(address),
      [oneWay('in', address)],
      [oneWay('out', address)],
    ];
    const cut = pool.instances.slice(0, faults.length);
    const places = cut.map(({ instance }) => placesOf(instance));
    const losses = cut.map(({ instance }) => lossesOf(instance));
    cut.forEach(({ host }, n) => host.setFaults(faults[n] ?? []));
    // Requests go on all the while, and are all served by the one that is left.
    for (let n = 0; n < 6; n += 1) expect(await pool.request()).toMatchObject({ ...served, by: pool.instances[3] });
    for (const [n, { id, instance }] of cut.entries()) {
      await until('the router does not take it for well', async () => {
        const row = await viewInstance(pool.installation, id);
        return row !== undefined && row.health !== 'ok';
      });
      await until('the instance knows that its link is gone', () => lossesOf(instance) > (losses[n] ?? 0));
    }
    for (const { host } of cut) host.setFaults([]);
    await untilReady(
      pool.installation,
      cut.map(({ id }) => id),
    );
    cut.forEach(({ instance }, n) => expect(placesOf(instance).at(-1)).toBe(places[n]?.at(-1)));
  },
);

/** Every slot it was told of, as seq/epoch. */
function placesOf(instance: LabInstance['instance']): readonly string[] {
  return instance
    .log()
    .filter(({ msg }) => msg === 'admitted' || msg === 'promoted')
    .map((line) => `${String(line['seq'])}/${String(line['epoch'])}`);
}

function lossesOf(instance: LabInstance['instance']): number {
  return instance.log().filter(({ msg }) => msg.startsWith('link lost') || msg.startsWith('router not reachable'))
    .length;
}

test.skipIf(isMissing)('with 30 of 100 packets lost on the way to every instance, every byte arrives', async () => {
  for (const { host } of pool.instances) host.setFaults(loss(30, pool.router.address));
  const order = { up: 64 * 1024, down: 64 * 1024, bytesPerSecond: 0 };
  const ends = await Promise.all(
    ['a', 'b', 'c', 'd'].map((id) => pool.user.open({ id: `lossy-${id}`, ...order }, pool.tunnel.port).ended()),
  );
  for (const end of ends) {
    expect(end).toMatchObject({ how: 'fin', received: order.down, sent: order.up, wrongAt: null });
  }
});

test.skipIf(isMissing)(
  'a target that one instance cannot reach is served by the others, and that instance serves all other targets',
  async () => {
    const [cut] = pool.instances;
    if (cut === undefined) throw new Error('no instance');
    cut.host.setFaults([{ kind: 'unreachable', direction: 'out', peer: pool.targetHost.address }]);
    const before = pool.seenFrom(cut);
    for (let n = 0; n < 2 * names.length; n += 1) expect(await pool.request()).toMatchObject(served);
    await until('it is passed over for this target', async () => {
      expect(await pool.request()).toMatchObject(served);
      const why = await pool.installation.pam(['session', 'why', 'last']);
      return why.stdout.includes(' ejected: could not reach this resource');
    });
    // The pair is ejected, not the instance: it has its turn at the second target, again and again.
    const servedAside: string[] = [];
    await until('each has served twice', async () => {
      servedAside.push(await requestAside(`aside-${servedAside.length}`));
      return pool.instances.every(({ host }) => servedAside.filter((from) => from === host.address).length >= 2);
    });
    const why = await pool.installation.pam(['session', 'why', 'last']);
    expect(why.stdout).not.toContain('ejected');
    expect(pool.seenFrom(cut)).toBe(before);
    await untilReady(pool.installation, [cut.id]);
  },
);

/** A short stream to the second target; answers the address of the instance that served it. */
async function requestAside(id: string): Promise<string> {
  expect(await pool.user.open({ id, up: 20, down: 20, bytesPerSecond: 0 }, aside.port).ended()).toMatchObject(served);
  const end = await until('the target says who served', () => other.ended().find((one) => one.id === id));
  return end.from;
}
