import { type StreamId, streamIdSchema } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import {
  acknowledgeBatch,
  addEvent,
  emptyReportQueue,
  reportLimits,
  type StreamEvent,
  takeBatch,
} from './report-queue.ts';

const id = (number: number): StreamId => streamIdSchema.parse(`S${String(number).padStart(21, '0')}`);
const opened = (number: number): StreamEvent => ({ event: 'opened', stream: id(number), atMs: number });
const ended = (number: number): StreamEvent => ({
  event: 'ended',
  stream: id(number),
  atMs: number,
  reason: 'client-closed',
  bytesUp: 0,
  bytesDown: 0,
});

test('events leave in order, one batch at a time, and stay until they are acknowledged', () => {
  let queue = emptyReportQueue;
  for (let at = 0; at < 100; at++) queue = addEvent(queue, opened(at));
  const first = takeBatch(queue);
  expect(first?.batch.map(({ atMs }) => atMs)).toEqual(Array.from({ length: reportLimits.batch }, (_, at) => at));
  if (first === null) return;
  expect(takeBatch(first.queue)).toBeNull();
  queue = acknowledgeBatch(addEvent(first.queue, ended(100)));
  expect(takeBatch(queue)?.batch.map(({ atMs }) => atMs)).toEqual(Array.from({ length: 37 }, (_, at) => at + 64));
});

test('a full queue gives up the oldest opened that is not being sent, counts it, and never grows', () => {
  let queue = emptyReportQueue;
  for (let at = 0; at < reportLimits.kept; at++) queue = addEvent(queue, at < 70 ? ended(at) : opened(at));
  queue = takeBatch(queue)?.queue ?? queue;
  queue = addEvent(queue, ended(-1));
  expect(queue.events).toHaveLength(reportLimits.kept);
  expect(queue.dropped).toBe(1);
  expect(queue.events.some(({ atMs }) => atMs === 70)).toBe(false);
  expect(queue.events.slice(0, 70).every(({ event }) => event === 'ended')).toBe(true);
});
