import { expect, test } from 'vitest';
import type { Clocks } from './clocks.ts';
import { beginLeaseWatch, observeLeases } from './observe-leases.ts';
import { beginLease, type LeaseEvent, type LeaseState, mayAct, stepLease } from './step-lease.ts';

const times = { fenceMs: 20_000, renewalMs: 5_000, answerMs: 2_000 };
const at = (ms: number, slept = 0, jumped = 0): Clocks => ({
  ...{ monotonicMs: ms, bootMs: ms + slept, wallMs: 1e12 + ms + slept + jumped },
});
function play(state: LeaseState, ...events: [LeaseEvent, Clocks][]): { state: LeaseState; did: string[] } {
  const did: string[] = [];
  let now = state;
  for (const [event, clocks] of events) {
    const step = stepLease(now, event, clocks);
    now = step.state;
    did.push(...step.effects.map((effect) => `${effect.do} ${effect.lease}`));
  }
  return { state: now, did };
}
const tick: LeaseEvent = { type: 'tick' };
const answered = (lease: number, askedAt: Clocks): LeaseEvent => ({ type: 'answered', lease, askedAt, times });

test('asks for a lease, acts on its answer, renews, and holds when answers stay away', () => {
  const begun = play(
    beginLease(times),
    [tick, at(0)],
    [answered(7, at(0)), at(100)],
    [tick, at(4_999)],
    [tick, at(5_000)],
  );
  expect(begun.did).toEqual(['ask null', 'go 7', 'ask 7']);
  const away = play(begun.state, [{ type: 'unanswered', askedAt: at(5_000) }, at(7_000)], [tick, at(19_999)]);
  expect(away.state.acts).toBe(true);
  const held = play(away.state, [tick, at(20_000)]);
  expect(held.did).toContain('hold 7');
  expect(mayAct(held.state, at(20_000))).toBe(false);
});

test('counts from sending the question, not from its answer', () => {
  const late = play(beginLease(times), [tick, at(0)], [answered(7, at(0)), at(19_000)]);
  expect(mayAct(late.state, at(19_999))).toBe(true);
  expect(mayAct(late.state, at(20_000))).toBe(false);
  expect(play(beginLease(times), [tick, at(0)], [answered(7, at(0)), at(20_000)]).state.acts).toBe(false);
});

test('the clock that moved most counts: sleep and a guest set right both end the right to act', () => {
  const { state } = play(beginLease(times), [tick, at(0)], [answered(7, at(0)), at(10)]);
  expect(mayAct(state, at(100))).toBe(true);
  expect(mayAct(state, at(100, 20_000))).toBe(false);
  expect(mayAct(state, at(100, 0, 20_000))).toBe(false);
  expect(mayAct(state, at(100, 0, -3_600_000))).toBe(true);
});

test('goes on in the same lease when nobody took it, and abandons everything when somebody did', () => {
  const { state } = play(beginLease(times), [tick, at(0)], [answered(7, at(0)), at(10)], [tick, at(20_000)]);
  expect(play(state, [answered(7, at(20_000)), at(20_100)]).did).toEqual(['go 7']);
  const lost = play(state, [{ type: 'lost', askedAt: at(20_000) }, at(20_100)]);
  expect(lost.did).toContain('abandon 7');
  expect(lost.state.held).toBeNull();
  expect(play(lost.state, [tick, at(25_100)]).did).toEqual(['ask null']);
});

test('asks for a lease above the highest it heard of, so that an old question is told from a new one', () => {
  const asks = (state: LeaseState, ms: number) =>
    stepLease(state, tick, at(ms)).effects.filter(({ do: what }) => what === 'ask');
  expect(asks(beginLease(times), 0)).toMatchObject([{ lease: null, after: 0 }]);
  const { state } = play(
    beginLease(times),
    [tick, at(0)],
    [answered(7, at(0)), at(10)],
    [{ type: 'lost', askedAt: at(5_000) }, at(5_010)],
  );
  expect(asks(state, 10_100)).toMatchObject([{ lease: null, after: 7 }]);
});

test('an answer to a question from before changes nothing', () => {
  const { state } = play(
    beginLease(times),
    ...(
      [
        [tick, at(0)],
        [answered(7, at(0)), at(10)],
        [tick, at(5_000)],
        [answered(7, at(5_000)), at(5_010)],
      ] as const
    ).map(([event, clocks]): [LeaseEvent, Clocks] => [event, clocks]),
  );
  const stale = play(state, [answered(6, at(0)), at(5_020)], [{ type: 'lost', askedAt: at(0) }, at(5_030)]);
  expect(stale.did).toEqual([]);
  expect(stale.state.held).toEqual({ lease: 7, askedAt: at(5_000) });
});

const rules = { leaseMs: 30_000, gapMs: 2_000 };
const row = (renewals: number) => ({ instance: 'one', lease: 7, renewals });
function observe(looks: readonly [number, number | null][]): number[] {
  let watch = beginLeaseWatch();
  const over: number[] = [];
  for (const [ms, renewals] of looks) {
    const seen = observeLeases(watch, renewals === null ? null : [row(renewals)], ms, rules);
    watch = seen.watch;
    if (seen.over.length > 0) over.push(ms);
  }
  return over;
}
const every = (from: number, to: number, renewals: number | null): [number, number | null][] =>
  Array.from({ length: (to - from) / 1_000 }, (_, n) => [from + n * 1_000, renewals]);

test('a lease is over after W without a renewal, seen by a judge who ran all the time', () => {
  expect(observe(every(0, 31_000, 0))).toEqual([30_000]);
  expect(observe([...every(0, 29_000, 0), ...every(29_000, 59_000, 1)])).toEqual([]);
});

test('a pause of the judge, a restart and a store that is away count for nothing', () => {
  expect(observe([...every(0, 10_000, 0), [90_000, 0], ...every(91_000, 108_000, 0)])).toEqual([]);
  expect(observe([...every(0, 29_000, 0), [29_000, null], ...every(30_000, 60_000, 0)])).toEqual([]);
  expect(observe([...every(0, 29_000, 0), [29_000, null], ...every(30_000, 61_000, 0)])).toEqual([60_000]);
});
