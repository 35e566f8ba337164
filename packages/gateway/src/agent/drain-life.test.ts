import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type DrainEffect, type DrainEvent, type DrainState, newDrainState, stepDrain } from './drain-life.ts';

interface Ran {
  readonly state: DrainState;
  /** Each effect with when it came. */
  readonly did: readonly { readonly atMs: number; readonly effect: DrainEffect }[];
}

/** Runs events at their times; between them the clock's wishes (`wake`) are granted in time. */
function run(events: readonly { readonly atMs: number; readonly event: DrainEvent }[], untilMs = 2_000_000): Ran {
  let state = newDrainState();
  let wakeAtMs: number | null = null;
  const did: { atMs: number; effect: DrainEffect }[] = [];
  const feed = (event: DrainEvent, atMs: number): void => {
    const step = stepDrain(state, event, atMs);
    state = step.state;
    for (const effect of step.effects) {
      did.push({ atMs, effect });
      if (effect.kind === 'wake') wakeAtMs = effect.atMs;
    }
  };
  const wakeUntil = (atMs: number): void => {
    while (wakeAtMs !== null && wakeAtMs <= atMs) {
      const due = wakeAtMs;
      wakeAtMs = null;
      feed({ kind: 'tick' }, due);
    }
  };
  for (const { atMs, event } of [...events].sort((a, b) => a.atMs - b.atMs)) {
    wakeUntil(atMs);
    feed(event, atMs);
  }
  wakeUntil(untilMs);
  return { state, did };
}

const kinds = ({ did }: Ran): string[] => did.map(({ effect }) => effect.kind);
const drainTold = (deadlineAtMs: number, deadlineInMs: number): DrainEvent => ({
  kind: 'told',
  intent: { kind: 'drain', by: 'operator', deadlineAtMs, deadlineInMs },
});

const anyEvent: fc.Arbitrary<DrainEvent> = fc.oneof(
  fc.constantFrom<DrainEvent>(
    { kind: 'told', intent: { kind: 'serve' } },
    { kind: 'told', intent: { kind: 'cordon' } },
    { kind: 'linked' },
    { kind: 'tick' },
  ),
  fc.record({ kind: fc.constant('signalled' as const), deadlineInMs: fc.integer({ min: 0, max: 600_000 }) }),
  fc
    .tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 600_000 }))
    .map(([name, inMs]) => drainTold(name, inMs)),
);
const anyEvents = fc.array(fc.record({ atMs: fc.integer({ min: 0, max: 900_000 }), event: anyEvent }), {
  maxLength: 12,
});

test('no stream is ended before the earliest deadline that was given, and all are at it', () => {
  fc.assert(
    fc.property(anyEvents, (events) => {
      const { did } = run(events);
      const deadlines = events.flatMap(({ atMs, event }) => {
        if (event.kind === 'signalled') return [atMs + event.deadlineInMs];
        if (event.kind !== 'told' || event.intent.kind !== 'drain') return [];
        return [atMs + event.intent.deadlineInMs];
      });
      const reset = did.find(({ effect }) => effect.kind === 'reset');
      expect(reset === undefined).toBe(deadlines.length === 0);
      if (reset === undefined) return;
      expect(reset.effect).toEqual({ kind: 'reset', reason: 'drained' });
      // A second within the first deadline moves nothing, and a deadline told again is the one counted already.
      expect(reset.atMs).toBeGreaterThanOrEqual(Math.min(...deadlines));
    }),
  );
});

test('it leaves once, and only after nothing runs or the deadline is over; nothing follows', () => {
  fc.assert(
    fc.property(anyEvents, fc.integer({ min: 0, max: 900_000 }), (events, emptyAtMs) => {
      const { did, state } = run([...events, { atMs: emptyAtMs, event: { kind: 'emptied' } }]);
      const leaves = did.filter(({ effect }) => effect.kind === 'leave');
      const drains = did.some(({ effect }) => effect.kind === 'notify');
      expect(leaves).toHaveLength(drains ? 1 : 0);
      expect(state.phase === 'open').toBe(!drains);
      if (!drains) return;
      expect(did.at(-1)?.effect.kind === 'leave' || did.at(-2)?.effect.kind === 'leave').toBe(true);
      const deadlineOver = did.find(({ effect }) => effect.kind === 'reset')?.atMs ?? Number.POSITIVE_INFINITY;
      expect(leaves[0]?.atMs).toBeGreaterThanOrEqual(Math.min(emptyAtMs, deadlineOver));
    }),
  );
});

test('a timer that fires a fraction early is set again: the deadline is not missed', () => {
  const drained = stepDrain(newDrainState(), drainTold(1, 1_000), 0.4).state;
  const early = stepDrain(drained, { kind: 'tick' }, 1_000.3);
  expect(early.effects).toEqual([{ kind: 'wake', atMs: 1_000.4 }]);
  expect(stepDrain(early.state, { kind: 'tick' }, 1_000.4).effects[0]).toEqual({ kind: 'reset', reason: 'drained' });
});

test('a drain takes nothing new for good, whatever is told afterwards', () => {
  fc.assert(
    fc.property(anyEvents, (events) => {
      const { did } = run(events);
      const first = did.findIndex(({ effect }) => effect.kind === 'hold' && effect.how === 'for-good');
      if (first < 0) return;
      expect(did.slice(first + 1).some(({ effect }) => effect.kind === 'hold')).toBe(false);
    }),
  );
});

test('a deadline told again after a rejoin is counted from its first word, however the clocks stand', () => {
  const ran = run([
    { atMs: 0, event: drainTold(77, 60_000) },
    { atMs: 20_000, event: drainTold(77, 1) },
    { atMs: 40_000, event: drainTold(77, 500_000) },
  ]);
  expect(kinds(ran)).toEqual(['hold', 'notify', 'wake', 'reset', 'wake', 'leave']);
  expect(ran.did.find(({ effect }) => effect.kind === 'reset')?.atMs).toBe(60_000);
});

test('an earlier deadline counts and is told to users; a later one does nothing', () => {
  const ran = run([
    { atMs: 0, event: drainTold(1, 60_000) },
    { atMs: 1_000, event: drainTold(2, 600_000) },
    { atMs: 2_000, event: drainTold(3, 10_000) },
  ]);
  expect(kinds(ran).filter((kind) => kind === 'notify')).toHaveLength(2);
  expect(ran.did.find(({ effect }) => effect.kind === 'reset')?.atMs).toBe(12_000);
});

test('a drain of its own is reported on every link; what the router says back of it changes nothing', () => {
  const ran = run([
    { atMs: 0, event: { kind: 'signalled', deadlineInMs: 300_000 } },
    { atMs: 10, event: { kind: 'told', intent: { kind: 'drain', by: 'gateway', deadlineAtMs: 5, deadlineInMs: 1 } } },
    { atMs: 100_000, event: { kind: 'linked' } },
  ]);
  const reports = ran.did.flatMap(({ effect }) => (effect.kind === 'report' ? [effect.deadlineInMs] : []));
  expect(reports).toEqual([300_000, 200_000]);
  expect(ran.did.find(({ effect }) => effect.kind === 'reset')?.atMs).toBe(300_000);
});

test('a cordon comes and goes; a second signal ends at once', () => {
  const ran = run([
    { atMs: 0, event: { kind: 'told', intent: { kind: 'cordon' } } },
    { atMs: 1, event: { kind: 'told', intent: { kind: 'cordon' } } },
    { atMs: 2, event: { kind: 'told', intent: { kind: 'serve' } } },
    { atMs: 3, event: { kind: 'signalled', deadlineInMs: 300_000 } },
    { atMs: 4, event: { kind: 'hurried' } },
    { atMs: 5, event: { kind: 'emptied' } },
  ]);
  const holds = ran.did.flatMap(({ effect }) => (effect.kind === 'hold' ? [effect.how] : []));
  expect(holds).toEqual(['cordon', 'serve', 'for-good', 'for-good']);
  expect(ran.did.slice(-2).map(({ effect }) => effect)).toEqual([
    { kind: 'reset', reason: 'stopped' },
    { kind: 'leave', reason: 'stopped' },
  ]);
});
