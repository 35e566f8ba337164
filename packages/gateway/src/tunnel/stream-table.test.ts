import type { DeviceId, SessionId, StreamId } from '@sallyport/protocol';
import { resumeTimes, type StreamDoor } from '@sallyport/stream';
import { expect, test } from 'vitest';
import { createStreamTable, type RunningStream } from './stream-table.ts';

const streamId = (n: number) => `S${String(n).padStart(21, '0')}` as StreamId;
const session = 'T'.repeat(22) as SessionId;

function door(name: string): StreamDoor & { readonly name: string } {
  const left: StreamDoor & { readonly name: string } = {
    name: `${name} ended`,
    offer: () => undefined,
    notify: () => undefined,
    tombstone: () => left,
  };
  return { ...left, name };
}
function running(n: number, opened: StreamDoor | null = door(`stream ${n}`)): RunningStream {
  const request = { iss: 'd' as DeviceId, cnf: 'c', until: 1, sealed: 'x'.repeat(8_000) };
  return { stream: streamId(n), session, ticket: 't', controller: new AbortController(), request, opened, resuming: 0 };
}
function play() {
  let nowMs = 0;
  const table = createStreamTable(() => nowMs);
  return {
    table,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

test('an ended stream answers for 150 s, and keeps neither what ran nor its request', () => {
  const { table, pass } = play();
  const one = running(1);
  table.add(one);
  expect(table.resumable(streamId(1))?.opened).toMatchObject({ name: 'stream 1' });
  table.remove(one);
  expect(table.size).toBe(0);
  expect(table.resumable(streamId(1))).toMatchObject({ session, opened: { name: 'stream 1 ended' } });
  expect(table.resumable(streamId(1))?.request).toEqual({ iss: 'd', cnf: 'c', until: 1 });
  pass(resumeTimes.tombstoneMs);
  expect(table.resumable(streamId(1))).toBeUndefined();
});

test('a stream that never opened is not resumable, running or ended', () => {
  const { table } = play();
  const one = running(1, null);
  table.add(one);
  expect(table.resumable(streamId(1))).toBeUndefined();
  table.remove(one);
  expect(table.resumable(streamId(1))).toBeUndefined();
});

test('an attempt that took the place of an earlier one outlives it', () => {
  const { table } = play();
  const [earlier, later] = [running(1, null), running(1)];
  table.add(earlier);
  table.add(later);
  expect(table.remove(earlier)).toBe(false);
  expect(table.get(streamId(1))).toBe(later);
  expect(table.remove(later)).toBe(true);
});

test('of more than 4,096 ended streams the oldest are forgotten first', () => {
  const { table } = play();
  for (let n = 0; n < 5_000; n++) {
    const one = running(n);
    table.add(one);
    table.remove(one);
  }
  const known = Array.from({ length: 5_000 }, (_, n) => table.resumable(streamId(n)) !== undefined);
  expect(known.indexOf(true)).toBe(5_000 - 4_096);
  expect(known.lastIndexOf(false)).toBe(5_000 - 4_096 - 1);
});
