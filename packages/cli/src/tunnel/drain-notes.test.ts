import { expect, test } from 'vitest';
import type { InstanceId, Notice } from '@sallyport/protocol';
import { createDrainNotes, type DrainNews } from './drain-notes.ts';

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
