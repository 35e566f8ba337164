import { Socket } from 'node:net';
import { createFakeClock } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { besideAfterMs, firstConnected } from './first-connected.ts';

function play(besideMs = besideAfterMs) {
  const clock = createFakeClock();
  const sockets: Socket[] = [];
  const connect = (): Socket => {
    const socket = new Socket();
    sockets.push(socket);
    return socket;
  };
  const timers = { nowMs: clock.monotonicMs, wallMs: clock.nowMs, after: clock.after };
  return { clock, sockets, connecting: firstConnected(connect, besideMs, timers) };
}

test('one that is answered is the only one', async () => {
  const { clock, sockets, connecting } = play();
  sockets[0]?.emit('connect');
  expect(await connecting.connected).toBe(sockets[0]);
  expect(clock.pending()).toBe(0);
  expect(sockets).toHaveLength(1);
  connecting.destroy();
  expect(sockets[0]?.destroyed).toBe(true);
});

test('while nobody answers others are tried beside it; the quickest is taken and the rest are closed', async () => {
  const { clock, sockets, connecting } = play();
  await clock.advance(250);
  expect(sockets).toHaveLength(2);
  await clock.advance(500);
  expect(sockets).toHaveLength(3);
  await clock.advance(60_000);
  expect(sockets).toHaveLength(3);
  sockets[1]?.emit('connect');
  // The first is answered in the same moment, too late.
  sockets[0]?.emit('connect');
  expect(await connecting.connected).toBe(sockets[1]);
  expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, false, true]);
});

test('a refusal of any of them is the answer, and nothing is tried after it was given up', async () => {
  const { clock, sockets, connecting } = play();
  await clock.advance(250);
  sockets[1]?.emit('error', new Error('ECONNREFUSED'));
  await expect(connecting.connected).rejects.toThrow('ECONNREFUSED');
  connecting.destroy();
  expect(clock.pending()).toBe(0);
  expect(sockets.every(({ destroyed }) => destroyed)).toBe(true);
});

test('asked to be patient it connects once', async () => {
  const { clock, sockets } = play([]);
  await clock.advance(60_000);
  expect(sockets).toHaveLength(1);
});
