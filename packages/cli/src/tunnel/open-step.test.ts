import { type InstanceId, PamError, type RefusedClass } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  newOpening,
  type Opening,
  type OpeningEffect,
  type OpeningEvent,
  openingLimits,
  stepOpening,
} from './open-step.ts';

const instance = (n: number) => `instance-${n}`.padEnd(22, '0') as InstanceId;
const lost = new PamError('PAM_STREAM_LOST', 'lost');
const empty = new PamError('PAM_POOL_NO_READY_INSTANCE', 'nobody');
const unverified = new PamError('PAM_INSTANCE_UNVERIFIED', 'who is this');

/** Runs events; collects what happened. */
function play(steps: readonly (readonly [number, OpeningEvent])[], from: Opening = newOpening(0, 0.5)) {
  let state = from;
  const effects: OpeningEffect[] = [];
  for (const [atMs, event] of steps) {
    const step = stepOpening(state, event, atMs);
    state = step.state;
    effects.push(...step.effects.filter((effect) => effect.kind !== 'wake'));
  }
  return { state, effects };
}
const start: readonly [number, OpeningEvent] = [0, { kind: 'start' }];
const routed = (atMs: number, id: number, n = id, probe = false): readonly [number, OpeningEvent] => [
  atMs,
  { kind: 'routed', id, instance: instance(n), probe },
];
const fail = (atMs: number, id: number, error = lost): readonly [number, OpeningEvent] => [
  atMs,
  { kind: 'failed', id, error },
];

test('the usual way: one route, one win', () => {
  const { effects } = play([start, routed(5, 1), [8, { kind: 'answered', id: 1 }], [9, { kind: 'opened', id: 1 }]]);
  expect(effects).toEqual([
    { kind: 'route', id: 1, not: [] },
    { kind: 'win', id: 1 },
  ]);
});

test('a lost leg is routed again without the instance, at once', () => {
  const { effects } = play([start, routed(5, 1), fail(20, 1)]);
  expect(effects.at(-1)).toEqual({ kind: 'route', id: 2, not: [instance(1)] });
});

test('an instance that is silent for 500 ms is passed over but may still win; the other is reset', () => {
  const { effects } = play([
    start,
    routed(0, 1),
    [500, { kind: 'tick' }],
    routed(505, 2),
    [600, { kind: 'opened', id: 1 }],
  ]);
  expect(effects).toEqual([
    { kind: 'route', id: 1, not: [] },
    { kind: 'route', id: 2, not: [instance(1)] },
    { kind: 'abandon', id: 2 },
    { kind: 'win', id: 1 },
  ]);
});

test('an instance that answered is given its time', () => {
  const { effects } = play([start, routed(0, 1), [100, { kind: 'answered', id: 1 }], [600, { kind: 'tick' }]]);
  expect(effects).toHaveLength(1);
});

test('a stream that opens after another won is reset', () => {
  const { effects } = play([
    start,
    routed(0, 1),
    [500, { kind: 'tick' }],
    routed(505, 2),
    [510, { kind: 'opened', id: 2 }],
    [520, { kind: 'opened', id: 1 }],
  ]);
  expect(effects.at(-1)).toEqual({ kind: 'abandon', id: 1 });
  expect(effects.filter((effect) => effect.kind === 'win')).toEqual([{ kind: 'win', id: 2 }]);
});

test('two lost instances end it: a request that kills does not go round the pool', () => {
  const { effects } = play([start, routed(0, 1), fail(1, 1), routed(2, 2), fail(3, 2)]);
  expect(effects.at(-1)).toEqual({ kind: 'fail', error: lost });
});

test.each(['refused', 'name', 'denied'] as const)('the word %s is final', (kind: RefusedClass) => {
  const error = new PamError('PAM_TARGET_REFUSED', 'no');
  const { effects, state } = play([start, routed(0, 1), [1, { kind: 'refused', id: 1, class: kind, error }]]);
  expect(effects.at(-1)).toEqual({ kind: 'fail', error });
  expect(state.over).toBe(true);
});

test.each(['unreachable', 'timeout'] as const)('%s gets one other instance, once', (kind: RefusedClass) => {
  const error = new PamError('PAM_TARGET_UNREACHABLE', 'no way');
  const first = play([start, routed(0, 1), [1, { kind: 'refused', id: 1, class: kind, error }]]);
  expect(first.effects.at(-1)).toEqual({ kind: 'route', id: 2, not: [instance(1)] });
  expect(play([routed(2, 2), [3, { kind: 'refused', id: 2, class: kind, error }]], first.state).effects.at(-1)).toEqual(
    { kind: 'fail', error },
  );
  const nobodyElse = play([[2, { kind: 'route-failed', id: 2, error: empty }]], first.state);
  expect(nobodyElse.effects.at(-1)).toEqual({ kind: 'fail', error });
});

test('distrust is never tried elsewhere', () => {
  expect(play([start, routed(0, 1), fail(1, 1, unverified)]).effects.at(-1)).toEqual({
    kind: 'fail',
    error: unverified,
  });
});

test('an empty pool is asked again for five seconds: a standby may be on its way', () => {
  const first = play([start, [10, { kind: 'route-failed', id: 1, error: empty }]]);
  expect(first.state).toMatchObject({ over: false, askAgainAtMs: 260 });
  const again = play([[260, { kind: 'tick' }]], first.state);
  expect(again.effects).toEqual([{ kind: 'route', id: 2, not: [] }]);
  expect(play([[5_010, { kind: 'route-failed', id: 2, error: empty }]], again.state).effects).toEqual([
    { kind: 'fail', error: empty },
  ]);
});

test('after a restart of the router the pool is given its five seconds, and the error says what it lacks now', () => {
  const away = new PamError('PAM_ROUTER_UNREACHABLE', 'gone');
  const first = play([start, [4_000, { kind: 'route-failed', id: 1, error: away }], [4_250, { kind: 'tick' }]]);
  const waiting = play(
    [
      [5_100, { kind: 'route-failed', id: 2, error: empty }],
      [5_350, { kind: 'tick' }],
    ],
    first.state,
  );
  expect(waiting.effects).toEqual([{ kind: 'route', id: 3, not: [] }]);
  const over = play([[openingLimits.deadlineMs, { kind: 'tick' }]], waiting.state);
  expect(over.effects.at(-1)).toEqual({ kind: 'fail', error: empty });
});

test('a router that is away for a moment blames no instance', () => {
  const away = new PamError('PAM_ROUTER_UNREACHABLE', 'gone');
  const { state, effects } = play([start, routed(0, 1), fail(10, 1, away), [260, { kind: 'tick' }]]);
  expect(effects.at(-1)).toEqual({ kind: 'route', id: 2, not: [] });
  expect(state.lost).toBe(0);
});

const answered = (atMs: number, id: number): readonly [number, OpeningEvent] => [atMs, { kind: 'answered', id }];
const unreachable = (atMs: number, id: number): readonly [number, OpeningEvent] => [
  atMs,
  { kind: 'refused', id, class: 'timeout', error: new PamError('PAM_TARGET_TIMEOUT', `${id} did not reach it`) },
];

test('a probe that dials for a second gets another instance beside it, and the first to open wins', () => {
  const slow = [start, routed(0, 1, 1, true), answered(5, 1), [1_000, { kind: 'tick' }], routed(1_005, 2)] as const;
  expect(play([...slow, [1_010, { kind: 'opened', id: 2 }]]).effects).toEqual([
    { kind: 'route', id: 1, not: [] },
    { kind: 'route', id: 2, not: [instance(1)] },
    { kind: 'abandon', id: 1 },
    { kind: 'win', id: 2 },
  ]);
  expect(play([...slow, [1_010, { kind: 'opened', id: 1 }]]).effects.at(-1)).toEqual({ kind: 'win', id: 1 });
});

test('a probe that fails while the other instance dials ends nothing; when both failed, the last word is told', () => {
  const slow = [start, routed(0, 1, 1, true), answered(5, 1), [1_000, { kind: 'tick' }], routed(1_005, 2)] as const;
  const one = play([...slow, unreachable(1_500, 1)]);
  expect([one.state.over, one.effects.at(-1)?.kind]).toEqual([false, 'route']);
  expect(play([...slow, unreachable(1_500, 1), unreachable(6_005, 2)]).effects.at(-1)).toMatchObject({
    kind: 'fail',
    error: { message: '2 did not reach it' },
  });
});

test('a stream that is no probe waits for the word of the instance that dials', () => {
  const { effects } = play([start, routed(0, 1), answered(5, 1), [1_000, { kind: 'tick' }], [4_000, { kind: 'tick' }]]);
  expect(effects).toEqual([{ kind: 'route', id: 1, not: [] }]);
});

test('who must ask again waits a time of his own, and never less than the router asks for', () => {
  const waitOf = (error: PamError, chance: number): number => {
    const first = stepOpening(newOpening(0, chance), { kind: 'start' }, 0);
    const { effects } = stepOpening(first.state, { kind: 'route-failed', id: 1, error }, 0);
    return Math.max(...effects.map((effect) => (effect.kind === 'wake' ? effect.atMs : 0)));
  };
  const busy = new PamError('PAM_RATE_LIMITED', 'x', { detail: { retryAfterMs: 700 } });
  expect([0, 0.5, 0.999].map((chance) => waitOf(empty, chance))).toEqual([50, 250, 500]);
  expect([0, 0.5, 0.999].map((chance) => waitOf(busy, chance))).toEqual([700, 950, 1_200]);
});

test('it is over at the deadline, with the last word heard', () => {
  expect(play([start, [openingLimits.deadlineMs, { kind: 'tick' }]]).effects.at(-1)).toMatchObject({
    kind: 'fail',
    error: { code: 'PAM_TIMEOUT' },
  });
});

const anyEvent = fc.oneof(
  fc.record({
    kind: fc.constant('routed' as const),
    id: fc.integer({ min: 1, max: 9 }),
    instance: fc.integer({ min: 1, max: 5 }).map(instance),
    probe: fc.boolean(),
  }),
  fc.record({ kind: fc.constantFrom('answered' as const, 'opened' as const), id: fc.integer({ min: 1, max: 9 }) }),
  fc.record({
    kind: fc.constantFrom('failed' as const, 'route-failed' as const),
    id: fc.integer({ min: 1, max: 9 }),
    error: fc.constantFrom(
      lost,
      empty,
      unverified,
      new PamError('PAM_ROUTER_UNREACHABLE', 'x'),
      new PamError('PAM_LEG_FAILED', 'x', { detail: { status: 'unknown' } }),
    ),
  }),
  fc.record({
    kind: fc.constant('refused' as const),
    id: fc.integer({ min: 1, max: 9 }),
    class: fc.constantFrom<RefusedClass>('refused', 'name', 'denied', 'unreachable', 'timeout', 'busy'),
    error: fc.constant(new PamError('PAM_TARGET_UNREACHABLE', 'x')),
  }),
  fc.constant({ kind: 'tick' as const }),
);

test('whatever happens: one end, nothing after it but resets, bounded tries, and over at the deadline', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 900 }), anyEvent), { maxLength: 60 }), (script) => {
      let atMs = 0;
      const steps: (readonly [number, OpeningEvent])[] = [start];
      for (const [gapMs, event] of script) {
        atMs += gapMs;
        steps.push([atMs, event]);
      }
      steps.push([Math.max(atMs, openingLimits.deadlineMs), { kind: 'tick' }]);
      const { state, effects } = play(steps);
      expect(state.over).toBe(true);
      const ends = effects.filter((effect) => effect.kind === 'win' || effect.kind === 'fail');
      expect(ends).toHaveLength(1);
      const after = effects.slice(effects.findIndex((effect) => effect === ends[0]) + 1);
      expect(after.every((effect) => effect.kind === 'abandon')).toBe(true);
      const routes = effects.filter((effect) => effect.kind === 'route');
      expect(new Set(routes.map((route) => route.id)).size).toBe(routes.length);
      expect(state.lost).toBeLessThanOrEqual(openingLimits.lostInstances);
      const [end] = ends;
      if (end?.kind === 'win')
        expect(effects.some((effect) => effect.kind === 'abandon' && effect.id === end.id)).toBe(false);
    }),
    { numRuns: 2_000 },
  );
});
