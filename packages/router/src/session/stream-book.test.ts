import type { InstanceId, SessionId, StreamId } from '@sallyport/protocol';
import fc from 'fast-check';
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
  streams.opened(stream, a, 1);
  expect(counts).toEqual({ a: 1, b: 0 });
  streams.routed(stream, session, b, 'm3', 2);
  expect(counts).toEqual({ a: 1, b: 0 });
  expect(streams.matchesOf(a)).toEqual(['m1', 'm2', 'm3']);
});

test('only its holder ends a stream; a second end changes nothing', () => {
  const { streams, counts } = book();
  streams.routed(stream, session, a, 'm1', 0);
  streams.opened(stream, a, 1);
  expect(streams.ended(stream, b, 'client-lost')).toEqual({ kind: 'foreign' });
  expect(streams.ended(stream, a, 'client-lost')).toEqual({ kind: 'over' });
  expect(streams.ended(stream, a, 'client-lost')).toEqual({ kind: 'over' });
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

test('what is taken back or lost at one of two ends nothing while the other lives', () => {
  const { streams, counts } = book();
  streams.routed(stream, session, a, 'm1', 0);
  streams.routed(stream, session, b, 'm2', 1);
  expect(streams.attempts(stream)).toEqual([a, b]);
  // The end of b overtakes the word of a.
  expect(streams.ended(stream, b, 'client-lost')).toEqual({ kind: 'held', by: a });
  expect(streams.opened(stream, a, 2)).toBe(a);
  expect(counts).toEqual({ a: 1, b: 0 });
  // Opened twice: the first keeps it until it is taken back there.
  streams.routed(stream, session, b, 'm3', 3);
  expect(streams.opened(stream, b, 4)).toBe(a);
  expect(streams.ended(stream, a, 'stopped')).toEqual({ kind: 'held', by: b });
  expect(streams.ended(stream, b, 'target-closed')).toEqual({ kind: 'over' });
  expect(counts).toEqual({ a: 0, b: 0 });
});

test('an end that user or target made is the end, whoever has not answered yet', () => {
  const { streams } = book();
  streams.routed(stream, session, a, 'm1', 0);
  streams.routed(stream, session, b, 'm2', 1);
  streams.opened(stream, b, 2);
  expect(streams.ended(stream, b, 'client-closed')).toEqual({ kind: 'over' });
  expect(streams.attempts(stream)).toEqual([]);
});

test('who comes back without a stream hands it to whoever else was asked', () => {
  const { streams, counts } = book();
  streams.routed(stream, session, a, 'm1', 0);
  streams.routed(stream, session, b, 'm2', 1);
  expect(streams.rejoined(b, [], 2)).toEqual([{ stream, instance: a }]);
  streams.opened(stream, a, 3);
  // It lists an attempt that was taken back: the word of its end is on the way.
  expect(streams.rejoined(b, [stream], 4)).toEqual([]);
  expect(streams.holder(stream)).toBe(a);
  expect(streams.lost(a)).toEqual([{ stream, instance: b }]);
  expect(counts).toEqual({ a: 0, b: 1 });
});

test('[B1] [B2] whatever instances say in whatever order, each stream counts at its holder alone', () => {
  const instance = fc.constantFrom(a, b, 'c' as InstanceId);
  const which = fc.constantFrom(...(['s1', 's2'] as StreamId[]));
  const reason = fc.constantFrom('stopped', 'client-lost', 'client-closed', 'target-refused', 'detached-timeout');
  const act = fc.oneof(
    fc.record({ do: fc.constant('routed' as const), instance, which }),
    fc.record({ do: fc.constant('opened' as const), instance, which }),
    fc.record({ do: fc.constant('ended' as const), instance, which, reason }),
    fc.record({ do: fc.constant('rejoined' as const), instance, running: fc.uniqueArray(which) }),
    fc.record({ do: fc.constant('lost' as const), instance }),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
      const { streams, counts } = book();
      for (const [atMs, one] of acts.entries()) {
        const before = 'which' in one ? streams.attempts(one.which) : [];
        if (one.do === 'routed') streams.routed(one.which, session, one.instance, `m${atMs}`, atMs);
        else if (one.do === 'opened') {
          const holder = streams.opened(one.which, one.instance, atMs);
          expect(streams.holder(one.which)).toBe(holder);
        } else if (one.do === 'ended') {
          const end = streams.ended(one.which, one.instance, one.reason);
          const left = before.filter((each) => each !== one.instance);
          if (end.kind === 'held') {
            expect(left).toContain(end.by);
            expect(streams.holder(one.which)).toBe(end.by);
          } else if (end.kind === 'over') expect(streams.attempts(one.which)).toEqual([]);
          else expect(streams.attempts(one.which)).toEqual(before);
          // Nobody who lives is forgotten for what only another lost.
          if (end.kind === 'over' && one.reason === 'stopped') expect(left).toEqual([]);
        } else if (one.do === 'rejoined') streams.rejoined(one.instance, one.running, atMs);
        else streams.lost(one.instance);
        const held = (['s1', 's2'] as StreamId[]).flatMap((each) => streams.holder(each) ?? []);
        for (const each of ['a', 'b', 'c']) {
          expect(counts[each] ?? 0).toBe(held.filter((one) => one === each).length);
        }
      }
    }),
  );
});
