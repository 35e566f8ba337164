import type { PamError } from '@sallyport/protocol';
import { describe, expect, test } from 'vitest';
import { noReadyInstance } from '../../src/pool/index.ts';
import { defaultTiming, poolTiming, type PoolTiming } from '../../src/pool/timing.ts';
import { World } from './world.ts';

const { suspectMs, reserveMs } = defaultTiming;

describe('deaths and returns', () => {
  test('a standby is promoted and picked within RJ + 1 s of a death, and only then', () => {
    const world = new World(2);
    const links = new Map(['a', 'b', 'c', 'd'].map((name) => [name, world.hello(name)]));
    world.feed({ kind: 'closed', link: links.get('a') ?? '' });
    const living = [...links.values()].slice(1);
    world.live(reserveMs - 50, living);
    expect(world.slots()).toEqual(['a', 'b']);
    world.live(150, living);
    expect(world.slots()).toEqual(['b', 'c']);
    world.acknowledgeAll();
    expect([world.route().instance, world.route().instance].sort()).toEqual(['b', 'c']);
  });

  test('a link that blips keeps its slot, its seq and its epoch', () => {
    const world = new World(1);
    const link = world.hello('a');
    const waiting = world.hello('b');
    const before = world.member('a')?.row;
    world.feed({ kind: 'closed', link });
    expect(world.route().instance).toBeNull();
    world.live(reserveMs - 100, [waiting]);
    world.hello('a');
    const { seq, epoch } = world.member('a')?.row ?? {};
    expect([seq, epoch]).toEqual([before?.seq, before?.epoch]);
    expect(world.route().instance).toBe('a');
  });

  test('all links of a pool of 3 with 2 standbys cut for 4 s displace nobody', () => {
    const world = new World(3);
    const names = ['a', 'b', 'c', 'd', 'e'];
    const links = names.map((name) => world.hello(name));
    world.live(2_000, links);
    for (const link of links) world.feed({ kind: 'closed', link });
    world.run(4_000);
    const back = names.toReversed().map((name) => world.hello(name));
    world.live(3_000, back);
    expect(world.slots()).toEqual(['a', 'b', 'c']);
    expect(names.map((name) => world.row(name))).toEqual(['slot', 'slot', 'slot', 'standby', 'standby']);
  });

  /** Found by psql in CI: members killed in turn within a second held their places for RG, and standbys waited. */
  test('most members dead within S keep their places for RJ alone once a link that stayed proves a round trip', () => {
    const world = new World(3);
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => world.hello(name));
    const stayed = [c ?? '', d ?? ''];
    world.live(1_000, [a ?? '', b ?? '', ...stayed]);
    const fifth = world.hello('e');
    for (const link of [a, b, fifth]) world.feed({ kind: 'closed', link: link ?? '' });
    world.live(reserveMs - 50, stayed);
    expect(world.slots()).toEqual(['a', 'b', 'c']);
    world.live(150, stayed);
    expect(world.slots()).toEqual(['b', 'c', 'd']);
  });

  test('a link that came only after most were lost says nothing about the loss', () => {
    const world = new World(3);
    const links = ['a', 'b', 'c'].map((name) => world.hello(name));
    world.live(1_000, links);
    for (const link of links) world.feed({ kind: 'closed', link });
    world.run(500);
    const newcomer = world.hello('d');
    world.live(defaultTiming.graceMs - 1_000, [newcomer]);
    expect(world.slots()).toEqual(['a', 'b', 'c']);
    world.live(2_000, [newcomer]);
    expect(world.slots()).toEqual(['b', 'c', 'd']);
  });

  test('a refuted loss of most links leaves the grace of a start to those who are not back yet', () => {
    const world = new World(3);
    for (const name of ['a', 'b', 'c']) world.hello(name);
    world.startRouter();
    const [b, c] = ['b', 'c'].map((name) => world.hello(name));
    const waiting = world.hello('d');
    world.run(100);
    for (const link of [b, c]) world.feed({ kind: 'closed', link: link ?? '' });
    world.live(reserveMs + 500, [waiting]);
    expect(world.slots()).toEqual(['a', 'c', 'd']);
  });

  test('an instance cut for 3 s finds itself the first standby and returns to a slot when one is free', () => {
    const world = new World(1);
    const link = world.hello('a');
    const b = world.hello('b');
    const c = world.hello('c');
    world.live(1_000, [link, b, c]);
    world.feed({ kind: 'closed', link });
    world.live(3_000, [b, c]);
    world.acknowledgeAll();
    expect(world.slots()).toEqual(['b']);
    const again = world.hello('a');
    expect(world.answers.get(again)).toMatchObject({ outcome: { kind: 'standby', position: 1 } });
    world.bye('b', b, 'stopped');
    expect(world.slots()).toEqual(['a']);
  });

  test('a promoted standby that does not acknowledge makes room for the next in 1 s', () => {
    const world = new World(1);
    const link = world.hello('a');
    const living = [world.hello('b'), world.hello('c')];
    world.bye('a', link, 'stopped');
    expect(world.slots()).toEqual(['b']);
    expect(world.route().instance).toBeNull();
    world.live(1_050, living);
    expect(world.slots()).toEqual(['c']);
    world.acknowledgeAll();
    expect(world.route().instance).toBe('c');
  });
});

describe('pauses of the router', () => {
  test('20 instances survive a router that stands still for 10 s, none suspect', () => {
    const world = new World(20);
    const links = Array.from({ length: 20 }, (_, i) => world.hello(`i${i}`));
    const standby = world.hello('waits');
    world.live(3_000, [...links, standby]);
    world.pause(10_000);
    // Timers run before sockets are read: the sweep comes first.
    world.feed({ kind: 'tick' });
    for (let i = 0; i < 20; i += 1) expect(world.member(`i${i}`)?.health).toBe('ok');
    world.live(2_000, [...links, standby]);
    expect(world.slots()).toHaveLength(20);
    expect(world.row('waits')).toBe('standby');
    expect(world.cuts).toEqual([]);
  });

  test('beats that arrive one way do not count: the member is suspect within S', () => {
    const world = new World(2);
    const link = world.hello('a');
    const other = world.hello('b');
    world.live(1_000, [link, other]);
    const { heard = 0 } = world.state.links.get(link) ?? {};
    let last = world.nowMs;
    world.run(suspectMs + 250, () => {
      if (world.nowMs - last < 250) return;
      last = world.nowMs;
      world.beat(other);
      // Its pings come, our pongs are lost: the number it heard stands still.
      world.feed({ kind: 'beat', link, heard, wallMs: world.wallMs() });
    });
    expect(world.member('a')?.health).toBe('suspect');
    expect([world.route().instance, world.route().instance]).toEqual(['b', 'b']);
  });

  test('a request still reaches a suspect member when there is nobody else', () => {
    const world = new World(1);
    world.hello('a');
    world.run(suspectMs + 100);
    const { decision, instance } = world.route();
    expect(instance).toBe('a');
    expect(decision.candidates[0]?.class).toBe(2);
  });

  test('a router that was killed keeps cordons, drains and places', () => {
    const world = new World(3);
    for (const name of ['a', 'b', 'c', 'd']) world.hello(name);
    world.intent('a', { kind: 'cordon' });
    world.intent('b', { kind: 'drain', by: 'operator', deadlineAtMs: world.wallMs() + 60_000 });
    world.startRouter();
    const links = ['d', 'c', 'b', 'a'].map((name) => world.hello(name));
    world.live(8_000, links);
    expect(['a', 'b', 'c', 'd'].map((name) => world.row(name))).toEqual([
      'slot cordon',
      'slot drain',
      'slot',
      'standby',
    ]);
    expect([world.route().instance, world.route().instance]).toEqual(['c', 'c']);
  });
});

test('a link that is not committed is never dispatched to', () => {
  const world = new World(1);
  const link = world.hello('a');
  const waiting = world.hello('b');
  world.feed({ kind: 'closed', link });
  world.live(reserveMs, [waiting]);
  world.hold = true;
  world.live(200, [waiting]);
  // The slot is being given to b in the store while a is back; neither may be picked before the answers are here.
  world.hello('a');
  expect(world.route().instance).toBeNull();
  world.releaseAll();
  world.acknowledgeAll();
  expect(world.route().instance).toBe('b');
  expect(world.row('a')).toBe('standby');
});

test('nobody ready is answered with every member and its reason', () => {
  const world = new World(3);
  const links = ['a', 'b', 'c'].map((name) => world.hello(name));
  world.intent('a', { kind: 'cordon' });
  world.feed({ kind: 'closed', link: links[1] ?? '' });
  const { decision, instance } = world.route([world.member('c')?.row.instance ?? ('' as never)]);
  expect(instance).toBeNull();
  const error = noReadyInstance(decision);
  expect(error.code).toBe('PAM_POOL_NO_READY_INSTANCE');
  for (const reason of ['cordoned', 'absent', 'tried before']) expect(error.message).toContain(reason);
});

describe('the times', () => {
  const broken: readonly (readonly [string, Partial<PoolTiming>])[] = [
    ['3 × beat + rtt + lag ≤ suspect', { suspectMs: 900 }],
    ['2 × suspect + redial spread + dial ≤ cut', { cutMs: 2_600 }],
    ['redial spread + dial ≤ reserve', { reserveMs: 600 }],
    ['rtt + lag ≤ hedge', { hedgeMs: 150 }],
    ['hedge ≤ suspect ÷ 2', { hedgeMs: 501 }],
    ['fence × (1 + ρ) + quiesce ≤ lease × (1 − ρ)', { fenceMs: 26_000 }],
    ['effect + quiesce ≤ fence − renewal − rtt', { effectMs: 13_000 }],
    ['detach ≤ unwanted', { unwantedMs: 70_000 }],
    ['reserve ≤ grace', { graceMs: 900 }],
    ['tick < pause ≤ beat', { pauseMs: 50 }],
  ];

  test.each(broken)('refuse settings that break %s, by name', (inequality, settings) => {
    const refused = (): PamError => {
      try {
        poolTiming(settings);
      } catch (reason) {
        return reason as PamError;
      }
      return expect.unreachable('nothing was thrown');
    };
    expect(refused().code).toBe('PAM_CONFIG_INVALID');
    expect(refused().detail['inequality']).toBe(inequality);
  });

  test.each([0, -1, 1.5, Number.NaN])('refuse %s as a time', (value) => {
    expect(() => poolTiming({ beatMs: value })).toThrow('beatMs must be a whole number');
  });

  test('hold as they are', () => {
    expect(poolTiming()).toEqual(defaultTiming);
  });
});
