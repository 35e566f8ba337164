import { type Decision, decisionSchema, replayDecision } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PoolSnapshot } from '../../src/pool/index.ts';
import { Model } from './model.ts';
import { World } from './world.ts';

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'] as const;
const who = fc.constantFrom(...names);
const operation = fc.oneof(
  fc.record({ kind: fc.constant('join' as const), who }),
  fc.record({ kind: fc.constant('leave' as const), who }),
  fc.record({ kind: fc.constant('lose' as const), who }),
  fc.record({ kind: fc.constant('blip' as const), who, forMs: fc.integer({ min: 0, max: 900 }) }),
  fc.record({ kind: fc.constant('resize' as const), maximum: fc.integer({ min: 1, max: 5 }) }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** The world driven as the model is: every living link beats, every promotion is acknowledged. */
class Driven {
  readonly world: World;
  readonly links = new Map<string, string>();
  mostAllowed: number;

  constructor(maximum: number) {
    this.world = new World(maximum);
    this.mostAllowed = maximum;
  }

  live(ms: number): void {
    for (let passed = 0; passed < ms; passed += 50) {
      this.world.live(50, passed % 250 === 0 ? [...this.links.values()] : []);
      for (const link of passed % 250 === 0 ? this.links.values() : []) this.world.beat(link);
      this.world.acknowledgeAll();
      for (const { link } of this.world.cuts.splice(0)) {
        for (const [name, own] of this.links) if (own === link) this.links.delete(name);
      }
      expect(this.world.slots().length).toBeLessThanOrEqual(this.mostAllowed);
    }
  }

  close(name: string): void {
    const link = this.links.get(name);
    if (link === undefined) return;
    this.links.delete(name);
    this.world.feed({ kind: 'closed', link });
  }

  join(name: string): void {
    if (this.links.has(name)) return;
    const link = this.world.hello(name);
    const answer = this.world.answers.get(link);
    if (answer?.kind === 'welcome' && answer.outcome.kind !== 'line-full') this.links.set(name, link);
  }

  line(): string[] {
    const snapshot = this.world.call('readPool', { gateway: this.world.gateway }) as PoolSnapshot;
    return snapshot.members.filter((m) => m.membership === 'standby').map((m) => m.instance.replaceAll('_', ''));
  }
}

function apply(driven: Driven, model: Model, op: Operation): void {
  switch (op.kind) {
    case 'join':
      if (!driven.links.has(op.who)) model.join(op.who);
      driven.join(op.who);
      return;
    case 'leave': {
      const link = driven.links.get(op.who);
      if (link === undefined) return;
      model.leave(op.who);
      driven.world.bye(op.who, link, 'stopped');
      return driven.close(op.who);
    }
    case 'lose':
      if (driven.links.has(op.who)) model.lose(op.who);
      return driven.close(op.who);
    case 'blip':
      if (!driven.links.has(op.who)) return;
      driven.close(op.who);
      driven.live(op.forMs);
      return driven.join(op.who);
    case 'resize':
      driven.mostAllowed = Math.max(op.maximum, driven.world.slots().length);
      model.resize(op.maximum);
      return driven.world.setMaximum(op.maximum);
    default:
      return op satisfies never;
  }
}

test('joins, leaves, losses, blips and resizes give the pool that a list and a counter give', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(operation, { maxLength: 40 }), (maximum, operations) => {
      const driven = new Driven(maximum);
      const model = new Model(maximum);
      for (const op of operations) {
        apply(driven, model, op);
        driven.live(1_300);
        expect({ slots: driven.world.slots(), line: driven.line() }).toEqual({ slots: model.slots, line: model.line });
      }
      driven.world.engine.close();
    }),
    { numRuns: Number(process.env['SALLYPORT_POOL_RUNS'] ?? 60) },
  );
});

const churn = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('pick' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('join' as const), who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cordon' as const), who, on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hedge' as const), who }) },
);

/** I3 over a list of decisions: between two picks of one member, all well all the while, every other has exactly one. */
function checkTurns(decisions: readonly Decision[]): void {
  for (const [end, decision] of decisions.entries()) {
    const begin = decisions.slice(0, end).findLastIndex((earlier) => earlier.pick === decision.pick);
    if (begin === -1) continue;
    const span = decisions.slice(begin, end + 1);
    const between = span.slice(1, -1);
    const itself = decision.candidates.find((candidate) => candidate.instance === decision.pick);
    if (itself === undefined || !wellAll(span, itself)) continue;
    for (const candidate of decision.candidates) {
      if (candidate.instance === decision.pick || !wellAll(span, candidate)) continue;
      expect(between.filter((other) => other.pick === candidate.instance)).toHaveLength(1);
    }
  }
}

function wellAll(span: readonly Decision[], { instance, seq }: Decision['candidates'][number]): boolean {
  return span.every((decision) =>
    decision.candidates.some((c) => c.instance === instance && c.seq === seq && c.class === 0),
  );
}

test('between two turns of a member every other that stayed well has exactly one, whatever joins and leaves', () => {
  fc.assert(
    fc.property(fc.array(churn, { minLength: 20, maxLength: 120 }), (events) => {
      const driven = new Driven(5);
      for (const name of ['a', 'b', 'c']) driven.join(name);
      const decisions: Decision[] = [];
      for (const event of events) {
        if (event.kind === 'pick') {
          const { decision } = driven.world.route();
          if (decision.pick !== null) decisions.push(decision);
        } else if (event.kind === 'join' || event.kind === 'leave') apply(driven, new Model(5), event);
        else if (event.kind === 'cordon' && driven.world.row(event.who).startsWith('slot')) {
          driven.world.intent(event.who, { kind: event.on ? 'cordon' : 'serve' });
        } else if (event.kind === 'hedge') {
          const member = driven.world.member(event.who);
          if (member === undefined) continue;
          const { instance, epoch } = member.row;
          driven.world.feed({ kind: 'hedged', gateway: driven.world.gateway, instance, epoch });
        }
        driven.world.acknowledgeAll();
      }
      checkTurns(decisions);
      driven.world.engine.close();
    }),
    { numRuns: 100 },
  );
});

test('a pool that nobody joins or leaves is picked evenly: maximum minus minimum is at most 1', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 60 }), (members, picks) => {
      const driven = new Driven(members);
      for (const name of names.slice(0, members)) driven.join(name);
      const counts = new Map(names.slice(0, members).map((name) => [name as string, 0]));
      for (let i = 0; i < picks; i += 1) {
        const { instance } = driven.world.route();
        counts.set(instance ?? '', (counts.get(instance ?? '') ?? 0) + 1);
      }
      expect(counts.size).toBe(members);
      expect(Math.max(...counts.values()) - Math.min(...counts.values())).toBeLessThanOrEqual(1);
      driven.world.engine.close();
    }),
    { numRuns: 30 },
  );
});

test('a recorded decision, stored and read again, gives the pick it gave', () => {
  const driven = new Driven(4);
  for (const name of ['a', 'b', 'c', 'd']) driven.join(name);
  driven.world.intent('b', { kind: 'cordon' });
  for (let i = 0; i < 12; i += 1) {
    const { decision } = driven.world.route();
    const read = decisionSchema.parse(JSON.parse(JSON.stringify(decision)));
    expect(replayDecision(read)).toBe(decision.pick);
    expect(read.candidates.find((c) => c.instance.startsWith('b'))?.excluded).toBe('cordoned');
  }
});
