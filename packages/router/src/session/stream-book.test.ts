import type { InstanceId, SessionId, StreamId } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { createStreamBook } from './stream-book.ts';

const [a, b] = ['a', 'b'] as InstanceId[] as [InstanceId, InstanceId];
const session = 's' as SessionId;
const stream = 'st' as StreamId;

function book() {
  const counts: Record<string, number> = {};
  return { streams: createStreamBook((instance, count) => (counts[instance] = count)), counts };
}

test('a stream counts on one instance: the one that opened it, before that the last one picked', () => {
  const { streams, counts } = book();
  streams.routed(stream, session, a, 'm1', 0);
  streams.routed(stream, session, b, 'm2', 1);
  expect(counts).toEqual({ a: 0, b: 1 });
  streams.opened(stream, a);
  expect(counts).toEqual({ a: 1, b: 0 });
  streams.routed(stream, session, b, 'm3', 2);
  expect(counts).toEqual({ a: 1, b: 0 });
  expect(streams.matchesOf(a)).toEqual(['m1', 'm2', 'm3']);
});

test('only its holder ends a stream; a second end changes nothing', () => {
  const { streams, counts } = book();
  streams.routed(stream, session, a, 'm1', 0);
  streams.opened(stream, a);
  expect(streams.ended(stream, b)).toBe(false);
  expect(streams.ended(stream, a)).toBe(true);
  expect(streams.ended(stream, a)).toBe(true);
  expect(counts).toEqual({ a: 0 });
});

test('what an instance lists after a rejoin is what counts, and a lost one has nothing', () => {
  const { streams, counts } = book();
  streams.routed(stream, session, a, 'm1', 0);
  streams.rejoined(a, ['x', 'y'] as StreamId[], 5);
  expect(counts).toEqual({ a: 2 });
  expect(streams.sessionOf(stream)).toBeNull();
  streams.lost(a);
  expect(counts).toEqual({ a: 0 });
});

test('a stream that never opened is taken out after its time', () => {
  const { streams } = book();
  streams.routed(stream, session, a, 'm1', 10);
  expect(streams.takeUnopened(10)).toEqual([]);
  expect(streams.takeUnopened(11)).toEqual([stream]);
  expect(streams.takeUnopened(11)).toEqual([]);
});
