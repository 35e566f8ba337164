import { Socket } from 'node:net';
import { createFakeClock, settle } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { acceptLimits } from './accept-queue.ts';
import { createPacedAccept } from './paced-accept.ts';

function gate(perSecond: number) {
  const clock = createFakeClock();
  const letIn: Socket[] = [];
  const known = new Set<Socket>();
  const lines: Record<string, number>[] = [];
  const accept = createPacedAccept({
    clock,
    perSecond,
    burst: perSecond,
    isKnown: (socket) => known.has(socket),
    log: (_message, fields) => lines.push(fields),
  });
  const offer = (isKnown = false): Socket => {
    const socket = new Socket();
    if (isKnown) known.add(socket);
    accept.offer(socket, (turn) => letIn.push(turn));
    return socket;
  };
  return { clock, letIn, lines, offer };
}

test('a burst is let in at once, the rest at the rate, a known instance before those who came earlier', async () => {
  const { clock, letIn, offer } = gate(10);
  const sockets = Array.from({ length: 14 }, () => offer());
  const known = offer(true);
  expect(letIn).toEqual(sockets.slice(0, 10));
  await clock.advance(100);
  expect(letIn.at(-1)).toBe(known);
  await clock.advance(400);
  expect(letIn).toHaveLength(15);
  expect(clock.pending()).toBe(0);
});

test('a socket that closed while it waited takes no turn', async () => {
  const { clock, letIn, offer } = gate(1);
  offer();
  const left = offer();
  const last = offer();
  left.destroy();
  await settle();
  await clock.advance(1_000);
  expect(letIn.at(-1)).toBe(last);
  expect(letIn).toHaveLength(2);
});

test('over the line sockets are closed, and that is logged once in a while, with the count', async () => {
  const { clock, lines, offer } = gate(1);
  const sockets = Array.from({ length: acceptLimits.waitingAtMost + 200 }, () => offer());
  expect(sockets.filter((socket) => socket.destroyed)).toHaveLength(199);
  expect(lines).toHaveLength(1);
  await clock.advance(acceptLimits.waitingAtMostMs + 1_000);
  expect(sockets.filter((socket) => socket.destroyed).length).toBeGreaterThan(acceptLimits.waitingAtMost);
  for (const socket of sockets) socket.destroy();
});
