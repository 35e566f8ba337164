import type { ItemUid, StreamId } from '@sallyport/protocol';
import { replayDecision } from '@sallyport/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ejectionTimes, pairsAtMost } from '../../src/pool/ejections.ts';
import { slowStart } from '../../src/pool/take-word.ts';
import { instanceId, itemUid, streamId } from '../store/samples.ts';
import { World } from './world.ts';

const { firstMs, mostMs, jitter } = ejectionTimes;
type Word = 'opened' | 'unreached' | 'ended' | 'released';

/** A pool whose members live, and a client that asks and tries elsewhere once, as `pam` does. */
class Asking {
  readonly world: World;
  readonly links: string[];
  #streams = 0;

  constructor(...names: string[]) {
    this.world = new World(Math.max(1, names.length));
    this.links = names.map((name) => this.world.hello(name));
  }

  say(word: Word, name: string, stream: StreamId, chance = 0.5): void {
    const gateway = this.world.gateway;
    this.world.feed({ kind: `stream-${word}`, gateway, instance: instanceId(name), stream, chance });
  }

  stream(): StreamId {
    this.#streams += 1;
    return streamId(`s${this.#streams}`);
  }

  /** Asks for `resource`; `reaches` says who reaches it. Answers who was asked, in order. */
  ask(resource: ItemUid, reaches: (name: string) => boolean, chance = 0.5): string[] {
    const of = { stream: this.stream(), resource };
    const first = this.world.route([], of).instance;
    if (first === null) return [];
    this.say(reaches(first) ? 'opened' : 'unreached', first, of.stream, chance);
    if (reaches(first)) return [first];
    const second = this.world.route([instanceId(first)], of).instance;
    if (second === null) return [first];
    this.say(reaches(second) ? 'opened' : 'unreached', second, of.stream, chance);
    return [first, second];
  }

  pass(ms: number): void {
    this.world.live(ms, this.links);
  }
}

const db = itemUid('db');
const web = itemUid('web');
const everybody = (): boolean => true;
const nobody = (): boolean => false;
const butA = (name: string): boolean => name !== 'a';

describe('an instance that cannot reach what others reach', () => {
  test('is passed over for that resource alone, once another opened it, and serves the rest in its turn', () => {
    const pool = new Asking('a', 'b', 'c');
    expect(pool.ask(db, butA)).toEqual(['a', 'b']);
    expect(pool.world.pairs).toEqual([`a ejected 1 for ${firstMs}`]);
    expect([1, 2, 3, 4].flatMap(() => pool.ask(db, butA))).toEqual(['c', 'b', 'c', 'b']);
    expect([1, 2, 3].flatMap(() => pool.ask(web, everybody))).toEqual(['c', 'a', 'b']);
  });

  test('is probed by exactly one request when its time is over; who opens that stream decides', () => {
    const pool = new Asking('a', 'b');
    pool.ask(db, butA);
    pool.pass(firstMs + 50);
    const probing = { stream: pool.stream(), resource: db };
    expect(pool.world.route([], probing)).toMatchObject({ instance: 'a', probe: true });
    for (let i = 0; i < 4; i += 1) {
      expect(pool.world.route([], { stream: pool.stream(), resource: db })).toMatchObject({
        instance: 'b',
        probe: false,
      });
    }
    pool.pass(1_000);
    pool.world.route([instanceId('a')], probing);
    pool.say('opened', 'b', probing.stream);
    expect(pool.world.pairs.at(-1)).toBe(`a ejected 2 for ${2 * firstMs}`);
    pool.pass(2 * firstMs + 50);
    expect([pool.ask(db, everybody), pool.ask(db, everybody)].flat().sort()).toEqual(['a', 'b']);
    expect(pool.world.pairs.at(-1)).toBe('a returned');
  });

  test('is not sent a stream that failed once, though its time is over', () => {
    const pool = new Asking('a', 'b', 'c');
    pool.ask(db, butA);
    pool.pass(firstMs + 50);
    for (let i = 0; i < 4; i += 1) {
      const of = { stream: pool.stream(), resource: db };
      expect(pool.world.route([instanceId('b')], of).instance).toBe('c');
    }
  });

  test('is probed again when the first probe told nothing, at once or after 15 s', () => {
    const pool = new Asking('a', 'b');
    pool.ask(db, butA);
    pool.pass(firstMs + 50);
    const probe = (): boolean => {
      const of = { stream: pool.stream(), resource: db };
      const { probe: isProbe, instance } = pool.world.route([], of);
      if (instance === 'b') return probe();
      pool.say('released', 'a', of.stream);
      return isProbe;
    };
    expect([probe(), probe()]).toEqual([true, true]);
    const of = { stream: pool.stream(), resource: db };
    while (pool.world.route([], of).instance !== 'a') pool.say('released', 'b', of.stream);
    pool.say('ended', 'a', of.stream);
    expect(pool.world.route([], { stream: pool.stream(), resource: db }).instance).toBe('b');
    pool.pass(ejectionTimes.probeWithinMs + 50);
    expect(pool.world.route([], { stream: pool.stream(), resource: db })).toMatchObject({ instance: 'a', probe: true });
  });

  test('stays out longer each time up to ten minutes, spread by a fifth; a failure soon after its return counts on', () => {
    const pool = new Asking('a', 'b');
    const lengths: number[] = [];
    for (let n = 0; n < 9; n += 1) {
      while (pool.ask(db, butA, n % 2).length !== 2) continue;
      const forMs = Number(pool.world.pairs.at(-1)?.split(' for ')[1]);
      lengths.push(forMs / Math.min(mostMs, firstMs * 2 ** n));
      pool.pass(forMs + 100);
      if (n === 3) {
        while (pool.world.pairs.at(-1) !== 'a returned') pool.ask(db, everybody);
      }
    }
    expect(lengths.map((length) => Math.round(length * 10) / 10)).toEqual([
      0.8, 1.2, 0.8, 1.2, 0.8, 1.2, 0.8, 1.2, 0.8,
    ]);
    expect(jitter).toBe(0.2);
  });

  test('serves the resource when nobody better is left: ejected is a preference, never an exclusion', () => {
    const pool = new Asking('a', 'b');
    pool.ask(db, butA);
    pool.world.intent('b', { kind: 'cordon' });
    const { decision, instance } = pool.world.route([], { stream: pool.stream(), resource: db });
    expect(instance).toBe('a');
    expect(decision.candidates).toMatchObject([
      { class: 1, note: 'ejected: could not reach this resource (1 in a row)' },
      { class: null, excluded: 'cordoned' },
    ]);
    expect(decision.candidates[0]?.untilMs).toBe(pool.world.wallMs() + firstMs);
  });

  test('is no longer ejected once it opened the resource, whoever sent it there', () => {
    const pool = new Asking('a', 'b');
    pool.ask(db, butA);
    pool.world.intent('b', { kind: 'cordon' });
    expect(pool.ask(db, everybody)).toEqual(['a']);
    expect(pool.world.pairs.at(-1)).toBe('a returned');
  });

  test('a target that is down for everybody ejects nobody, and the first request after it is back works', () => {
    const pool = new Asking('a', 'b', 'c');
    for (let i = 0; i < 30; i += 1) {
      expect(pool.ask(db, nobody)).toHaveLength(2);
      pool.pass(300);
    }
    expect(pool.world.pairs).toEqual([]);
    expect(pool.ask(db, everybody)).toHaveLength(1);
  });

  test('evidence counts in whatever order it comes, and streams picked before do not prolong an ejection', () => {
    const pool = new Asking('a', 'b');
    const streams = Array.from({ length: 6 }, () => ({ stream: pool.stream(), resource: db }));
    const given = streams.map((of) => [of, pool.world.route([], of).instance] as const);
    const toA = given.filter(([, name]) => name === 'a').map(([of]) => of);
    for (const of of toA) pool.world.route([instanceId('a')], of);
    for (const { stream } of toA) pool.say('opened', 'b', stream);
    expect(pool.world.pairs).toEqual([]);
    for (const { stream } of toA.slice(0, 2)) pool.say('unreached', 'a', stream);
    pool.pass(firstMs + 50);
    for (const { stream } of toA.slice(2)) pool.say('unreached', 'a', stream);
    expect(pool.world.pairs).toEqual([`a ejected 1 for ${firstMs}`]);
  });
});

describe('attacks', () => {
  test('the word of an instance about a stream that was not given to it counts for nothing', () => {
    const pool = new Asking('a', 'b', 'c');
    const of = { stream: pool.stream(), resource: db };
    expect(pool.world.route([], of).instance).toBe('a');
    pool.say('opened', 'b', of.stream);
    pool.say('unreached', 'c', of.stream);
    pool.say('unreached', 'a', of.stream);
    pool.say('opened', 'c', of.stream);
    pool.say('unreached', 'a', streamId('never'));
    expect(pool.world.pairs).toEqual([]);
  });

  test('a client that leaves a probe at once and opens elsewhere does not prolong an ejection', () => {
    const pool = new Asking('a', 'b');
    pool.ask(db, butA);
    pool.pass(firstMs + 50);
    for (let i = 0; i < 10; i += 1) {
      const of = { stream: pool.stream(), resource: db };
      const { instance } = pool.world.route([], of);
      if (instance === 'a') {
        pool.world.route([instanceId('a')], of);
        pool.say('ended', 'a', of.stream);
      }
      pool.say('opened', 'b', of.stream);
    }
    expect(pool.world.pairs).toEqual([`a ejected 1 for ${firstMs}`]);
    expect([pool.ask(db, everybody), pool.ask(db, everybody)].flat()).toContain('a');
    expect(pool.world.pairs.at(-1)).toBe('a returned');
  });

  test('an instance that says both of one stream ejects neither itself nor another', () => {
    const pool = new Asking('a', 'b');
    const of = { stream: pool.stream(), resource: db };
    pool.world.route([], of);
    pool.say('opened', 'a', of.stream);
    pool.say('unreached', 'a', of.stream);
    expect(pool.world.pairs).toEqual([]);
  });

  test('as many resources as one likes leave a bounded memory, and nothing of an instance that left', () => {
    const pool = new Asking('a', 'b');
    for (let i = 0; i < pairsAtMost + 500; i += 1) pool.ask(itemUid(`r${i}`), butA);
    const state = pool.world.state.pools.get(pool.world.gateway);
    const count = (): number => [...(state?.ejections.values() ?? [])].reduce((sum, pairs) => sum + pairs.size, 0);
    expect(count()).toBeGreaterThan(1_000);
    expect(count()).toBeLessThanOrEqual(pairsAtMost);
    pool.world.bye('a', pool.links[0] ?? '', 'stopped');
    expect(count()).toBe(0);
    pool.pass(32_000);
    expect(state?.openings.size).toBe(0);
  });
});

describe('slow start', () => {
  test('a member that warms up is passed over while its first streams are opening, and gets its turns as they open', () => {
    const pool = new Asking('a', 'b');
    for (let i = 0; i < 2 * slowStart.warm; i += 1) pool.ask(web, everybody);
    pool.links.push(pool.world.hello('c'));
    pool.world.setMaximum(3);
    pool.world.acknowledgeAll();
    const streams = Array.from({ length: 30 }, () => ({ stream: pool.stream(), resource: web }));
    const names = streams.map((of) => pool.world.route([], of).instance);
    expect(names.filter((name) => name === 'c')).toHaveLength(slowStart.first);
    const [first] = streams.filter((_, i) => names[i] === 'c');
    if (first !== undefined) pool.say('opened', 'c', first.stream);
    const more = Array.from({ length: 9 }, () => pool.world.route([], { stream: pool.stream(), resource: web }));
    expect(more.filter(({ instance }) => instance === 'c')).toHaveLength(2);
    expect(more.at(-1)?.decision.candidates.at(-1)).toMatchObject({
      class: 1,
      note: expect.stringContaining('warming'),
    });
  });

  test('a whole pool that warms up refuses nothing and goes round in turns', () => {
    const pool = new Asking('a', 'b', 'c');
    const names = Array.from(
      { length: 60 },
      () => pool.world.route([], { stream: pool.stream(), resource: web }).instance,
    );
    expect(names).not.toContain(null);
    for (const name of ['a', 'b', 'c']) expect(names.filter((other) => other === name)).toHaveLength(20);
  });
});

test('an instance at the limit it told is passed over, with the figures; the others go on', () => {
  const pool = new Asking('a');
  pool.world.setMaximum(2);
  pool.links.push(pool.world.hello('b', { maxStreams: 3 }));
  pool.world.acknowledgeAll();
  const member = pool.world.member('b');
  if (member !== undefined) member.streams = 3;
  const { decision, instance } = pool.world.route();
  expect([instance, pool.world.route().instance]).toEqual(['a', 'a']);
  expect(decision.candidates[1]).toMatchObject({ class: null, excluded: 'session limit: runs 3 of 3 streams' });
});

const names = ['a', 'b', 'c', 'd'] as const;
const act = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('ask' as const), resource: fc.constantFrom(db, web) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), who: fc.constantFrom(...names) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('heal' as const), who: fc.constantFrom(...names) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('down' as const), is: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 50, max: 30_000 }) }) },
);

test('whatever is cut, healed, down or back: somebody is asked, replays, and only who failed where another opened is ejected', () => {
  fc.assert(
    fc.property(fc.array(act, { minLength: 10, maxLength: 60 }), (acts) => {
      const pool = new Asking(...names);
      const cut = new Set<string>();
      let isDown = false;
      const reaches =
        (resource: ItemUid) =>
        (name: string): boolean =>
          resource === web || (!isDown && !cut.has(name));
      for (const each of acts) {
        if (each.kind === 'cut') cut.add(each.who);
        else if (each.kind === 'heal') cut.delete(each.who);
        else if (each.kind === 'down') isDown = each.is;
        else if (each.kind === 'pass') pool.pass(each.ms);
        else {
          const before = pool.world.pairs.length;
          const asked = pool.ask(each.resource, reaches(each.resource));
          const [first, second] = asked;
          expect(first).toBeDefined();
          const news = pool.world.pairs.slice(before).filter((line) => line.includes('ejected'));
          const told = second !== undefined && reaches(each.resource)(second);
          expect(news.every((line) => told && line.startsWith(`${first} `))).toBe(true);
          if (isDown && each.resource === db) expect(news).toEqual([]);
        }
        const { decision } = pool.world.route();
        expect(replayDecision(decision)).toBe(decision.pick);
      }
      pool.world.engine.close();
    }),
    { numRuns: 60 },
  );
});
