import { PamError } from '@sallyport/protocol';
import { settle } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import type { TunnelState } from './registry.ts';
import { createStateWriter } from './state-writer.ts';

const state = (streams: number): TunnelState => ({ kind: 'ready', sinceMs: null, streams });

/** A disk that answers when told. */
function slowDisk() {
  const written: number[] = [];
  const waiting: (() => void)[] = [];
  const write = async (one: TunnelState): Promise<void> => {
    written.push(one.streams);
    await new Promise<void>((resolve) => waiting.push(resolve));
  };
  return { written, write, answer: () => waiting.shift()?.() };
}

test('a state that comes long after the last write is written too', async () => {
  const disk = slowDisk();
  const writer = createStateWriter();
  writer.write(disk.write);
  for (let n = 1; n <= 3; n++) {
    await settle();
    writer.changed(state(n));
    disk.answer();
  }
  await settle();
  expect(disk.written).toEqual([1, 2, 3]);
});

test('what changes while a write is under way is one write more, of the newest', async () => {
  const disk = slowDisk();
  const writer = createStateWriter();
  writer.changed(state(1));
  writer.write(disk.write);
  for (let n = 2; n <= 500; n++) writer.changed(state(n));
  disk.answer();
  await settle();
  expect(disk.written).toEqual([1, 500]);
});

test('a disk that refuses ends nothing, and after the end nothing is written', async () => {
  let tries = 0;
  const writer = createStateWriter();
  writer.write(async () => {
    tries++;
    throw new PamError('PAM_CONFIG_INVALID', 'no room');
  });
  writer.changed(state(1));
  await settle();
  writer.changed(state(2));
  await writer.end();
  writer.changed(state(3));
  await settle();
  expect(tries).toBe(2);
});
