import { alertKinds, type AlertKind, type GatewayUid } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Condition, keyOf, type Telling } from '../../src/alert/alert.ts';
import { type AlertRules, firingIn, newAlertState, stepAlerts } from '../../src/alert/step-alerts.ts';

const graceMs = Object.fromEntries(alertKinds.map((kind) => [kind, 5_000])) as Record<AlertKind, number>;
const rules: AlertRules = {
  graceMs,
  holdMs: 3_000,
  mostHoldMs: 60_000,
  repeatMs: 60_000,
  quietMs: 10_000,
  pauseMs: 2_000,
  mostAlerts: 4,
};
const offline = (n: number): Condition => ({
  kind: 'gateway-offline',
  gateway: `g${n}` as GatewayUid,
  instance: null,
  summary: 'gone',
  detail: {},
});
/** Only the first gateway still is. */
const isThere = ({ gateway }: Condition): boolean => gateway === 'g0';

/** Looks at these conditions, each `ms` after the one before; answers everything told, with the number of its look. */
function run(
  looks: readonly { readonly ms: number; readonly on: readonly number[] }[],
  from = newAlertState(0),
): { readonly state: ReturnType<typeof newAlertState>; readonly told: (Telling & { readonly look: number })[] } {
  let state = from;
  let [monotonicMs, nowMs] = [from.lookedAtMs, 1_000_000_000_000];
  const told: (Telling & { readonly look: number })[] = [];
  looks.forEach(({ ms, on }, look) => {
    monotonicMs += ms;
    nowMs += ms;
    const step = stepAlerts(state, { conditions: on.map(offline), isThere, monotonicMs, nowMs }, rules);
    state = step.state;
    told.push(...step.tell.map((each) => ({ ...each, look })));
  });
  return { state, told };
}
const often = (count: number, on: readonly number[], ms = 1_000): { ms: number; on: readonly number[] }[] =>
  Array.from({ length: count }, () => ({ ms, on }));
const words = ({ told }: ReturnType<typeof run>): string[] => told.map(({ status }) => status);

const schedule = fc.array(
  fc.record({ ms: fc.integer({ min: 0, max: 4_000 }), on: fc.uniqueArray(fc.integer({ min: 0, max: 7 })) }),
  { maxLength: 120 },
);

test('whatever comes and goes: firing, then still-firing, then resolved, in this order for each alert (R3)', () => {
  fc.assert(
    fc.property(schedule, (looks) => {
      const last = new Map<string, string>();
      for (const { condition, status } of run(looks).told) {
        const before = last.get(keyOf(condition)) ?? 'resolved';
        expect(status === 'firing' ? before === 'resolved' : before !== 'resolved').toBe(true);
        last.set(keyOf(condition), status);
      }
    }),
  );
});

test('an alert fires only when its condition held at every look of its whole grace, and not while it is quiet (R1, R5)', () => {
  fc.assert(
    fc.property(schedule, (looks) => {
      for (const { condition, status, look } of run(looks).told) {
        if (status !== 'firing') continue;
        let heldMs = 0;
        for (let at = look; at >= 0 && looks[at]?.on.some((n) => keyOf(offline(n)) === keyOf(condition)); at -= 1) {
          heldMs += Math.min(looks[at]?.ms ?? 0, rules.pauseMs);
        }
        const passedMs = looks.slice(0, look + 1).reduce((sum, { ms }) => sum + Math.min(ms, rules.pauseMs), 0);
        expect(heldMs).toBeGreaterThanOrEqual(graceMs[condition.kind]);
        expect(passedMs).toBeGreaterThanOrEqual(rules.quietMs);
      }
    }),
  );
});

test('never more alerts are followed than the bound (R6)', () => {
  fc.assert(
    fc.property(schedule, (looks) => {
      expect(run(looks).state.tracked.size).toBeLessThanOrEqual(rules.mostAlerts);
    }),
  );
});

test('what flickers faster than its grace is never told, what flaps slower is told ever more seldom (R2)', () => {
  const flicker = Array.from({ length: 900 }, (_, i) => ({ ms: 1_000, on: i % 5 === 4 ? [] : [0] }));
  expect(run(flicker).told).toEqual([]);
  const flap = Array.from({ length: 200 }, () => [...often(6, [0]), ...often(12, [])]).flat();
  const fired = words(run(flap)).filter((word) => word === 'firing').length;
  expect(fired).toBeGreaterThan(1);
  expect(fired).toBeLessThan(6);
});

test('an alert that goes on is told again after the repeat time, not before', () => {
  const told = run(often(150, [0])).told.map(({ status, look }) => [status, look]);
  expect(told).toEqual([
    ['firing', 14],
    ['still-firing', 74],
    ['still-firing', 134],
  ]);
});

test('a router that was paused counts the pause as one look: nobody is told of a silence it did not watch (R4)', () => {
  const told = run([...often(11, []), { ms: 3_600_000, on: [0] }, ...often(2, [0])]).told;
  expect(told).toEqual([]);
});

test('over a restart an alert neither fires twice nor is lost: it goes on, or is resolved after the quiet time', () => {
  const before = run(often(20, [0])).state;
  const restart = newAlertState(50_000, firingIn(before));
  // Everybody is away at first, one after the other comes back.
  expect(words(run([...often(9, [0, 1, 2, 3]), ...often(30, [0])], restart))).toEqual([]);
  const resolved = run([...often(9, [0, 1, 2, 3]), ...often(30, [])], restart).told;
  expect(resolved).toMatchObject([{ status: 'resolved', resolution: 'cleared', condition: { gateway: 'g0' } }]);
});

test('an alert about something that is not there any more is resolved as gone, not as cleared', () => {
  const { told } = run([...often(20, [5]), ...often(10, [])]);
  expect(told.map(({ status, resolution }) => [status, resolution])).toEqual([
    ['firing', null],
    ['resolved', 'gone'],
  ]);
});

test('what is remembered changes only when something is told, however the counts of a condition change', () => {
  const state = run(often(20, [0])).state;
  const counted = stepAlerts(
    state,
    { conditions: [{ ...offline(0), detail: { absent: 7 } }], isThere, monotonicMs: 21_000, nowMs: 1_000_000_021_000 },
    rules,
  );
  expect(firingIn(counted.state)).toEqual(firingIn(state));
});
