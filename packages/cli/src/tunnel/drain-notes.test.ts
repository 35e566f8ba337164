import { expect, test } from 'vitest';
import type { InstanceId, Notice } from '@sallyport/protocol';
import { createDrainNotes, drainNoteLimits, type DrainNews } from './drain-notes.ts';

const a = 'A'.repeat(22) as InstanceId;
const b = 'B'.repeat(22) as InstanceId;
const drain = (deadlineInMs: number): Notice => ({ notice: 'drain', message: 'instance a is drained', deadlineInMs });

function bench() {
  let nowMs = 0;
  const news: DrainNews[] = [];
  const notes = createDrainNotes(
    () => nowMs,
    (one) => news.push(one),
  );
  const at = (ms: number): void => {
    nowMs = ms;
  };
  return { notes, news, at };
}

test('a drain is told once however many streams get its notice, with how many run there', () => {
  const { notes, news, at } = bench();
  for (const instance of [a, a, a, b]) notes.opened(instance);
  notes.ended(a);
  for (let i = 0; i < 3; i++) {
    at(i * 10);
    notes.noticed(a, drain(300_000 - i * 10));
  }
  expect(news).toEqual([{ instance: a, message: 'instance a is drained', deadlineInMs: 300_000, streams: 2 }]);
});

test('an earlier deadline is told again, a later one is not, and each instance has a drain of its own', () => {
  const { notes, news } = bench();
  notes.opened(a);
  notes.noticed(a, drain(300_000));
  notes.noticed(a, drain(600_000));
  notes.noticed(a, drain(20_000));
  notes.noticed(b, drain(300_000));
  expect(news.map((one) => [one.instance, one.deadlineInMs, one.streams])).toEqual([
    [a, 300_000, 1],
    [a, 20_000, 1],
    [b, 300_000, 0],
  ]);
});

test('an instance that repeats notices for ever, each with an earlier deadline, is told of four times', () => {
  const { notes, news, at } = bench();
  for (let i = 0; i < 10_000; i++) {
    at(i);
    notes.noticed(a, drain(300_000 - (i % 5_000) * 60));
  }
  expect(news).toHaveLength(drainNoteLimits.timesPerInstance);
  expect(new Set(news.map((one) => Math.round(one.deadlineInMs / 1_000))).size).toBe(news.length);
});

test('a thousand instances are remembered, each of which drains once', () => {
  const { notes, news } = bench();
  const instances = Array.from({ length: drainNoteLimits.instances }, (_, n) => `${n}`.padStart(22, 'I') as InstanceId);
  for (let round = 0; round < 3; round++) for (const instance of instances) notes.noticed(instance, drain(300_000));
  expect(news).toHaveLength(instances.length);
});
