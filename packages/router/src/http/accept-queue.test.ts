import fc from 'fast-check';
import { expect, test } from 'vitest';
import { acceptLimits, type AcceptEvent, newAcceptQueue, stepAccept } from './accept-queue.ts';

const event = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('came' as const), known: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('gone' as const), back: fc.integer({ min: 1, max: 30 }) }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'tick' as const }) },
);

test('whatever comes and goes: never more than burst + rate × time, everybody once, in order, or refused', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), event), { maxLength: 200 }),
      (perSecond, burst, script) => {
        const queue = newAcceptQueue(perSecond, burst, 0);
        const fates = new Map<number, string>();
        let nowMs = 0;
        let ids = 0;
        for (const [gapMs, each] of script) {
          nowMs += gapMs;
          let fed: AcceptEvent = { kind: 'tick' };
          if (each.kind === 'came') fed = { kind: 'came', id: ++ids, known: each.known };
          else if (each.kind === 'gone') {
            fed = { kind: 'gone', id: ids - each.back };
            if (!fates.has(fed.id)) fates.set(fed.id, 'gone');
          }
          const step = stepAccept(queue, fed, nowMs);
          for (const id of step.letIn) {
            expect(fates.has(id)).toBe(false);
            fates.set(id, 'in');
          }
          for (const id of step.refused) {
            expect(fates.has(id)).toBe(false);
            fates.set(id, 'refused');
          }
          const letIn = [...fates.values()].filter((fate) => fate === 'in').length;
          expect(letIn).toBeLessThanOrEqual(burst + (perSecond * nowMs) / 1_000);
          const waits = queue.known.size + queue.others.size;
          expect(step.wakeInMs === null).toBe(waits === 0);
          if (waits > 0) expect(queue.tokens).toBeLessThan(1);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('known instances go first, and one in four let in is somebody else', () => {
  const queue = newAcceptQueue(1, 1, 0);
  stepAccept(queue, { kind: 'came', id: 0, known: false }, 0);
  for (let id = 1; id <= 40; id++) stepAccept(queue, { kind: 'came', id, known: id % 2 === 0 }, 0);
  const order: number[] = [];
  for (let s = 1; s <= 7; s++) order.push(...stepAccept(queue, { kind: 'tick' }, s * 1_000).letIn);
  expect(order.map((id) => (id % 2 === 0 ? 'known' : 'other'))).toEqual([
    ...['known', 'known', 'known', 'other'],
    ...['known', 'known', 'known'],
  ]);
});

test('a flood of strangers pushes out itself, never a known instance, and nobody waits for ever', () => {
  const queue = newAcceptQueue(1, 1, 0);
  const refused: number[] = [];
  for (let id = 1; id <= 100; id++) stepAccept(queue, { kind: 'came', id, known: true }, 0);
  for (let id = 101; id <= acceptLimits.waitingAtMost + 500; id++) {
    refused.push(...stepAccept(queue, { kind: 'came', id, known: false }, 0).refused);
  }
  expect(refused.length).toBeGreaterThan(400);
  expect(Math.min(...refused)).toBeGreaterThan(acceptLimits.waitingAtMost);
  expect(queue.known.size).toBe(99);
  stepAccept(queue, { kind: 'tick' }, acceptLimits.waitingAtMostMs);
  expect([queue.known.size, queue.others.size]).toEqual([0, 0]);
});
