import { type InstanceId, PamError, type StreamId } from '@sallyport/protocol';
import type { OpenedStream } from '@sallyport/stream';
import { createFakeClock, settle } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { openStream, type Routed } from './stream-opener.ts';

const stream = 'S234567890123456789012' as StreamId;
const instance = (n: number) => `instance-${n}`.padEnd(22, '0') as InstanceId;

/** Instances that behave as told; remembers what became of each stream. */
function pool(
  behaviours: readonly ((answered: () => void, signal: AbortSignal, id: number) => Promise<OpenedStream>)[],
) {
  const seen = { asked: [] as (readonly InstanceId[])[], forgotten: [] as number[], aborted: [] as number[] };
  let next = 0;
  const opened = (n: number): OpenedStream => ({
    instance: instance(n),
    splice: () => Promise.reject(new Error('not in this test')),
    forget: () => void seen.forgotten.push(n),
  });
  const route = async (_: StreamId, not: readonly InstanceId[]): Promise<Routed> => {
    seen.asked.push(not);
    const n = next++;
    const behave = behaviours[n];
    if (behave === undefined) throw new PamError('PAM_POOL_NO_READY_INSTANCE', 'nobody');
    return {
      instance: instance(n),
      probe: false,
      connect: async (answered, signal) => {
        signal.addEventListener('abort', () => seen.aborted.push(n));
        return { kind: 'opened', stream: await behave(answered, signal, n) };
      },
    };
  };
  return { seen, route, opened };
}
const never = new Promise<never>(() => undefined);

test('a dead instance costs one more try and no more', async () => {
  const clock = createFakeClock();
  const parts = pool([
    async () => Promise.reject(new PamError('PAM_STREAM_LOST', 'dead')),
    async () => parts.opened(1),
  ]);
  const won = await openStream({ clock, jitter: () => 0.5 }, parts, stream, new AbortController().signal);
  expect(won.instance).toBe(instance(1));
  expect(parts.seen.asked).toEqual([[], [instance(0)]]);
  expect(clock.pending()).toBe(0);
});

test('a frozen instance is passed over after 500 ms and given up once another opened', async () => {
  const clock = createFakeClock();
  const parts = pool([async () => never, async () => parts.opened(1)]);
  const opening = openStream({ clock, jitter: () => 0.5 }, parts, stream, new AbortController().signal);
  await settle();
  await clock.advance(499);
  expect(parts.seen.asked).toHaveLength(1);
  await clock.advance(1);
  expect((await opening).instance).toBe(instance(1));
  expect(parts.seen.aborted).toEqual([0]);
  expect(clock.pending()).toBe(0);
});

test('a frozen instance that opens after another won is reset', async () => {
  const clock = createFakeClock();
  const late = Promise.withResolvers<OpenedStream>();
  const parts = pool([async () => late.promise, async () => parts.opened(1)]);
  const opening = openStream({ clock, jitter: () => 0.5 }, parts, stream, new AbortController().signal);
  await settle();
  await clock.advance(500);
  await opening;
  late.resolve(parts.opened(0));
  await settle();
  expect(parts.seen.forgotten).toEqual([0]);
});

test('the connection that went away takes every try with it', async () => {
  const clock = createFakeClock();
  const parts = pool([async () => never]);
  const gone = new AbortController();
  const opening = openStream({ clock, jitter: () => 0.5 }, parts, stream, gone.signal);
  await settle();
  gone.abort();
  await expect(opening).rejects.toThrow(expect.objectContaining({ code: 'PAM_INTERRUPTED' }));
  expect(parts.seen.aborted).toEqual([0]);
  expect(clock.pending()).toBe(0);
});

test('nothing ever answers: the deadline ends it and nothing is left behind', async () => {
  const clock = createFakeClock();
  const parts = pool(Array.from({ length: 9 }, () => async () => never));
  const opening = openStream({ clock, jitter: () => 0.5 }, parts, stream, new AbortController().signal);
  opening.catch(() => undefined);
  await settle();
  await clock.advance(10_000);
  await expect(opening).rejects.toThrow(expect.objectContaining({ code: 'PAM_TIMEOUT' }));
  expect(parts.seen.aborted.length).toBe(parts.seen.asked.length);
  expect(clock.pending()).toBe(0);
});
