import { expect, test } from 'vitest';
import { defaultTiming } from '../../src/pool/timing.ts';
import { World } from './world.ts';
import type { PoolEvent } from '../../src/pool/pool-state.ts';

/**
 * Races between a member that comes back and a transaction that was asked while it was away. The simulation found each
 * (packages/router/test/sim); here they are by themselves, with the store's answers held back and let go by hand.
 */
const { graceMs, reserveMs, promoteMs } = defaultTiming;

test('a reclaim that commits after the return of the absent member takes nothing from it', () => {
  const world = new World(1);
  const link = world.hello('a');
  const waiting = world.hello('b');
  world.feed({ kind: 'closed', link });
  world.hold = true;
  world.live(reserveMs + 100, [waiting]);
  const [reclaim] = world.held.splice(0);
  const back = world.hello('a');
  world.releaseAll();
  expect(world.answers.get(back)).toMatchObject({ outcome: { kind: 'slot' } });
  if (reclaim === undefined) throw new Error('nothing was reclaimed');
  world.release(reclaim);
  expect(world.slots()).toEqual(['a']);
  expect(world.route().instance).toBe('a');
});

test('a promoted member whose hello is on its way is not demoted meanwhile', () => {
  const world = new World(1);
  const holder = world.hello('a');
  const dying = world.hello('b');
  world.feed({ kind: 'closed', link: dying });
  world.call('fill', { gateway: world.gateway, waiting: [], nowMs: world.wallMs() });
  const a = world.member('a')?.row;
  const b = world.member('b')?.row;
  world.call('leave', { gateway: world.gateway, members: [a], reason: 'stopped', nowMs: world.wallMs() });
  const delta = world.call('fill', { gateway: world.gateway, waiting: [b?.instance], nowMs: world.wallMs() });
  world.feed({ kind: 'closed', link: holder });
  world.feed({ kind: 'changed', gateway: world.gateway, delta: delta as never });
  expect(world.slots()).toEqual(['b']);
  world.hold = true;
  const back = world.hello('b');
  world.run(promoteMs + 200);
  expect(world.held.map(({ effect }) => effect.kind)).toEqual(['admit']);
  world.releaseAll();
  expect(world.answers.get(back)).toMatchObject({ outcome: { kind: 'slot' } });
  expect(world.route().instance).toBe('b');
});

test('an admission that is answered after the next link of the same member is up leaves that link alone', () => {
  const world = new World(1);
  world.hold = true;
  const first = world.hello('a');
  const [early] = world.held.splice(0);
  world.feed({ kind: 'closed', link: first });
  world.hold = false;
  world.hello('a');
  if (early === undefined) throw new Error('nothing was asked');
  world.release(early);
  expect(world.member('a')?.health).toBe('ok');
  expect(world.route().instance).toBe('a');
});

test('a member that was back for a moment keeps its place from then on', () => {
  const world = new World(1);
  const link = world.hello('a');
  const waiting = world.hello('b');
  world.feed({ kind: 'closed', link });
  world.live(reserveMs - 200, [waiting]);
  world.hold = true;
  const back = world.hello('a');
  world.feed({ kind: 'closed', link: back });
  world.live(reserveMs - 200, [waiting]);
  world.releaseAll();
  world.hold = false;
  expect(world.slots()).toEqual(['a']);
  world.live(reserveMs + 100, [waiting]);
  expect(world.slots()).toEqual(['b']);
});

test('when all links close at once the grace counts from the first that is back, however long the outage', () => {
  const world = new World(3);
  const links = ['a', 'b', 'c', 'd', 'e'].map((name) => world.hello(name));
  for (const link of links) world.feed({ kind: 'closed', link });
  world.run(graceMs + 4_000);
  // A standby is first: it waits, whatever free slots it sees.
  const waiting = world.hello('d');
  world.live(graceMs - 200, [waiting]);
  expect(world.slots()).toEqual(['a', 'b', 'c']);
  const back = ['a', 'b'].map((name) => world.hello(name));
  // Who has not come by then has lost its place to one who has.
  world.live(400, [waiting, ...back]);
  expect(world.slots()).toEqual(['a', 'b', 'd']);
});

/** Two newcomers whose admissions are committed, a's first, and not answered yet. */
function twoCommitted(): {
  world: World;
  answer: (name: 'a' | 'b') => void;
  link: Readonly<Record<'a' | 'b', string>>;
} {
  const world = new World(2);
  world.hold = true;
  const link = { a: world.hello('a'), b: world.hello('b') };
  const answers = world.held.splice(0).flatMap(({ effect }) => {
    if (effect.kind !== 'admit') return [];
    const { link: asked, ...join } = effect.hello;
    const answer = world.call('admit', { ...join, nowMs: world.wallMs() }) as object;
    return [{ kind: 'admitted', link: asked, gateway: world.gateway, ...answer } as PoolEvent & { kind: 'admitted' }];
  });
  const answer = (name: 'a' | 'b'): void => {
    for (const event of answers) if (event.link === link[name]) world.feed(event);
  };
  return { world, answer, link };
}

test('an answer that overtook the one it follows on waits for it', () => {
  const { world, answer, link } = twoCommitted();
  answer('b');
  expect([world.answers.size, world.member('b')]).toEqual([0, undefined]);
  expect(world.held.map(({ effect }) => effect.kind)).toEqual(['read']);
  answer('a');
  expect([...world.answers.keys()]).toEqual([link.a, link.b]);
  world.releaseAll();
  world.run(1_000);
  expect(world.held).toEqual([]);
});

test('after a gap that nothing closes the pool is read whole, and again when the read failed', () => {
  const { world, answer, link } = twoCommitted();
  answer('b');
  world.held.length = 0;
  world.feed({ kind: 'read-failed', gateway: world.gateway });
  world.run(promoteMs - 100);
  expect(world.held).toEqual([]);
  world.run(200);
  expect(world.held.map(({ effect }) => effect.kind)).toEqual(['read']);
  world.releaseAll();
  expect([...world.answers.keys()]).toEqual([link.b]);
  expect(world.member('a')?.row.membership).toBe('slot');
  answer('a');
  expect(world.answers.get(link.a)).toMatchObject({ outcome: { kind: 'slot', seq: 1 } });
});
