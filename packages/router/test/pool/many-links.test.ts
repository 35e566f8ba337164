import fc from 'fast-check';
import { expect, test } from 'vitest';
import { productionRules } from '../../src/pool/rules.ts';
import { beatMs, limits } from '../../src/pool/silence.ts';
import { beatIntervalMs, defaultTiming, silenceLimits, tellBeat, type ToldBeat } from '../../src/pool/timing.ts';
import { SqliteEngine } from '../../src/store/sqlite-engine.ts';
import { World } from './world.ts';

/** 32 links stand for 10,000: with so few beats a second they are told 2 s each. */
const timing = { ...defaultTiming, beatsPerSecond: 16 };
const names = Array.from({ length: 32 }, (_, i) => `i${i}`);

/** Runs for `ms`; each of `links` beats when the interval that its last pong told is over. */
function liveAsTold(world: World, links: readonly string[], ms: number, each: () => void = () => undefined): void {
  const nextMs = new Map(links.map((link, i) => [link, world.nowMs + 50 * i]));
  world.run(ms, () => {
    for (const [link, atMs] of nextMs) {
      if (world.nowMs < atMs) continue;
      world.beat(link);
      nextMs.set(link, world.nowMs + beatMs(world.state));
    }
    each();
  });
}

function many(): { world: World; links: string[] } {
  const world = new World(names.length, productionRules, new SqliteEngine(':memory:'), timing);
  const links = names.map((name) => world.hello(name));
  expect(beatMs(world.state)).toBe(2_000);
  return { world, links };
}

test('who was suspect is ready again after two beats at the interval it was told', () => {
  const { world, links } = many();
  liveAsTold(world, links, 4_000);
  const row = world.member('i3')?.row;
  if (row === undefined) return expect.unreachable();
  world.feed({ kind: 'hedged', gateway: world.gateway, instance: row.instance, epoch: row.epoch });
  expect(world.member('i3')?.health).toBe('suspect');
  liveAsTold(world, links, 6_000);
  expect(world.member('i3')?.health).toBe('ok');
});

test('where most links go at once, those that stay and were told the long beat are not taken for silent', () => {
  const { world, links } = many();
  liveAsTold(world, links, 4_000);
  const staying = links.slice(0, 3);
  for (const link of links.slice(3)) world.feed({ kind: 'closed', link });
  const suspects = new Set<string>();
  liveAsTold(world, staying, 40_000, () => {
    for (const name of names.slice(0, 3)) if (world.member(name)?.health !== 'ok') suspects.add(name);
  });
  expect([...suspects]).toEqual([]);
  expect([beatMs(world.state), limits(world.state).suspectMs]).toEqual([250, defaultTiming.suspectMs]);
});

test('after a restart who is back first is told the beat of all who are on their way, until their grace is over', () => {
  const { world } = many();
  world.startRouter();
  const back = names.slice(0, 3).map((name) => world.hello(name));
  expect(beatMs(world.state)).toBe(2_000);
  const graceMs = world.state.startUntilMs - world.state.judgeMs;
  liveAsTold(world, back, graceMs - 100);
  expect(beatMs(world.state)).toBe(2_000);
  liveAsTold(world, back, 30_000);
  expect(beatMs(world.state)).toBe(250);
  expect(names.slice(0, 3).map((name) => world.member(name)?.health)).toEqual(['ok', 'ok', 'ok']);
});

test('whoever was told a beat may miss three of it and a round trip, however many links go meanwhile', () => {
  const links = fc.array(fc.record({ links: fc.nat(40_000), afterMs: fc.nat(5_000) }), { maxLength: 20 });
  fc.assert(
    fc.property(links, (changes) => {
      let nowMs = 0;
      let now: ToldBeat = { beatMs: defaultTiming.beatMs, atMs: 0 };
      const heard: ToldBeat[] = [];
      for (const change of changes) {
        nowMs += change.afterMs;
        now = tellBeat(defaultTiming, now, change.links, nowMs);
        expect(now.beatMs).toBeGreaterThanOrEqual(beatIntervalMs(defaultTiming, change.links));
        for (const { beatMs: was, atMs } of heard) {
          if (nowMs - atMs > 3 * was) continue;
          expect(silenceLimits(defaultTiming, now.beatMs).suspectMs).toBeGreaterThan(nowMs - atMs);
        }
        heard.push(now);
      }
    }),
  );
});
