import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  acceptLimits,
  type AcceptEvent,
  type AcceptQueue,
  newAcceptQueue,
  stepAccept,
  waitingIn,
} from './accept-queue.ts';

const calm = { perSecond: 1, burst: 1, waitingAtMost: 2_000, lateMs: 75 };

const event = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('came' as const),
      known: fc.boolean(),
      address: fc.constantFrom('a', 'b', 'c'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('gone' as const), back: fc.integer({ min: 1, max: 30 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('tick' as const), lateMs: fc.integer({ min: 0, max: 200 }) }) },
);

/** What Q1, Q2 and Q4 say of a queue, and that its indexes agree with one another. */
function check(queue: AcceptQueue): void {
  const inTurns = [...queue.others.values()].reduce((sum, here) => sum + here.size, 0);
  expect(inTurns).toBe(queue.addressOf.size);
  expect([...queue.others.values()].every((here) => here.size > 0)).toBe(true);
  expect(waitingIn(queue)).toBeLessThanOrEqual(queue.waitingAtMost);
  expect(queue.othersUnderWay).toBe([...queue.underWay.values()].filter(({ known }) => !known).length);
  expect(queue.underWay.size).toBeLessThanOrEqual(acceptLimits.underWayAtMost);
  expect(queue.limit).toBeGreaterThanOrEqual(acceptLimits.underWayAtLeast);
  const mayGoOn = queue.tokens >= 1 && queue.underWay.size < queue.limit;
  if (mayGoOn) expect(queue.known.size).toBe(0);
}

test('whatever comes and goes: at most burst + rate × time and the limit, everybody once, or refused', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 8, max: 40 }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), event), { maxLength: 200 }),
      (perSecond, burst, waitingAtMost, script) => {
        const queue = newAcceptQueue({ perSecond, burst, waitingAtMost, lateMs: 75 }, 0);
        const fates = new Map<number, 'in' | 'refused' | 'gone'>();
        let [nowMs, ids, letIn] = [0, 0, 0];
        for (const [gapMs, each] of script) {
          nowMs += gapMs;
          const fed: AcceptEvent =
            each.kind === 'came'
              ? { ...each, id: ++ids }
              : each.kind === 'gone'
                ? { kind: 'gone', id: ids - each.back }
                : each;
          if (fed.kind === 'gone' && !fates.has(fed.id)) fates.set(fed.id, 'gone');
          const step = stepAccept(queue, fed, nowMs);
          for (const [fate, of] of [['in', step.letIn] as const, ['refused', step.refused] as const]) {
            for (const id of of) {
              expect(fates.has(id)).toBe(false);
              fates.set(id, fate);
            }
          }
          letIn += step.letIn.length;
          expect(letIn).toBeLessThanOrEqual(burst + (perSecond * nowMs) / 1_000);
          expect(step.wakeInMs === null).toBe(waitingIn(queue) + queue.underWay.size === 0);
          check(queue);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('whoever waits comes to its turn, though nobody who is under way ever ends', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ known: fc.boolean(), address: fc.constantFrom('a', 'b', 'c') }), { maxLength: 120 }),
      (comers) => {
        const queue = newAcceptQueue({ perSecond: 400, burst: 400, waitingAtMost: 2_000, lateMs: 75 }, 0);
        const letIn = new Set<number>();
        let nowMs = 0;
        const feed = (fed: AcceptEvent): void => {
          for (const id of stepAccept(queue, fed, nowMs).letIn) letIn.add(id);
        };
        for (const [id, comer] of comers.entries()) feed({ kind: 'came', id, ...comer });
        for (; nowMs <= 300_000 && letIn.size < comers.length; nowMs += 50) feed({ kind: 'tick', lateMs: 500 });
        expect(letIn.size).toBe(comers.length);
      },
    ),
    { numRuns: 100 },
  );
});

test('known instances go first, and one in four let in is somebody else', () => {
  const queue = newAcceptQueue(calm, 0);
  stepAccept(queue, { kind: 'came', id: 0, address: 'x', known: false }, 0);
  for (let id = 1; id <= 40; id++) stepAccept(queue, { kind: 'came', id, address: 'x', known: id % 2 === 0 }, 0);
  const order: number[] = [];
  for (let s = 1; s <= 7; s++) order.push(...stepAccept(queue, { kind: 'tick', lateMs: 0 }, s * 1_000).letIn);
  expect(order.map((id) => (id % 2 === 0 ? 'known' : 'other'))).toEqual([
    ...['known', 'known', 'known', 'other'],
    ...['known', 'known', 'known'],
  ]);
});

test('strangers take turns by address: who fills the queue from one waits behind itself', () => {
  const queue = newAcceptQueue(calm, 0);
  for (let id = 0; id <= 100; id++) stepAccept(queue, { kind: 'came', id, address: 'flood', known: false }, 0);
  stepAccept(queue, { kind: 'came', id: 500, address: 'one', known: false }, 0);
  stepAccept(queue, { kind: 'came', id: 600, address: 'two', known: false }, 0);
  const order: number[] = [];
  for (let s = 1; s <= 5; s++) order.push(...stepAccept(queue, { kind: 'tick', lateMs: 0 }, s * 1_000).letIn);
  expect(order).toEqual([1, 500, 600, 2, 3]);
});

test('a flood of strangers pushes out itself, never a known instance, and one address has an eighth of the room', () => {
  const queue = newAcceptQueue(calm, 0);
  const refused: number[] = [];
  const come = (id: number, address: string, known: boolean): void => {
    refused.push(...stepAccept(queue, { kind: 'came', id, address, known }, 0).refused);
  };
  for (let id = 1; id <= 1_000; id++) come(id, 'flood', false);
  expect(waitingIn(queue)).toBe(calm.waitingAtMost / 8);
  for (let id = 2_001; id <= 4_000; id++) come(id, `many ${id}`, false);
  expect(waitingIn(queue)).toBe(calm.waitingAtMost);
  refused.length = 0;
  for (let id = 10_001; id <= 10_100; id++) come(id, 'fleet', true);
  expect(queue.known.size).toBe(100);
  expect(refused).toHaveLength(100);
  expect(Math.max(...refused)).toBeLessThan(10_000);
  expect(Math.min(...refused)).toBeGreaterThan(3_000);
});

test('a router that is late lets fewer in at once, one that is on time and wanted lets in more', () => {
  const queue = newAcceptQueue({ ...calm, perSecond: 100_000, burst: 100_000 }, 0);
  for (let id = 0; id < 1_000; id++) stepAccept(queue, { kind: 'came', id, address: `${id}`, known: true }, 0);
  expect(queue.underWay.size).toBe(acceptLimits.underWayAtFirst);
  let nowMs = 0;
  const weigh = (lateMs: number): number => {
    nowMs += acceptLimits.weighEveryMs;
    stepAccept(queue, { kind: 'tick', lateMs }, nowMs);
    return queue.limit;
  };
  expect(weigh(20)).toBe(acceptLimits.underWayAtFirst + 2);
  expect(weigh(20)).toBe(acceptLimits.underWayAtFirst + 4);
  expect(weigh(100)).toBe(Math.floor(((acceptLimits.underWayAtFirst + 4) * 3) / 4));
  for (let again = 0; again < 10; again++) weigh(100);
  expect(queue.limit).toBe(acceptLimits.underWayAtLeast);
});

test('strangers that never finish hold three quarters of the places, and those for three seconds', () => {
  const queue = newAcceptQueue({ ...calm, perSecond: 10_000, burst: 10_000 }, 0);
  for (let id = 0; id < 200; id++) stepAccept(queue, { kind: 'came', id, address: `${id}`, known: false }, 0);
  expect(queue.underWay.size).toBe((acceptLimits.underWayAtFirst * 3) / 4);
  expect(stepAccept(queue, { kind: 'came', id: 900, address: 'fleet', known: true }, 1).letIn).toEqual([900]);
  stepAccept(queue, { kind: 'gone', id: 900 }, 2);
  const letIn: number[] = [];
  for (let nowMs = 50; nowMs <= acceptLimits.countsForMs + 50; nowMs += 50) {
    letIn.push(...stepAccept(queue, { kind: 'tick', lateMs: 0 }, nowMs).letIn);
  }
  expect(letIn.length).toBeGreaterThanOrEqual((acceptLimits.underWayAtFirst * 3) / 4);
});
