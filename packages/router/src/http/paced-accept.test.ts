import { Socket } from 'node:net';
import { createFakeClock, settle } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import type { WaitingConnection } from '../relay/index.ts';
import { acceptLimits } from './accept-queue.ts';
import { createPacedAccept } from './paced-accept.ts';

interface Comer extends WaitingConnection {
  readonly name: string;
  isRefused: boolean;
}

/** Connections that wait in no relay: taking one gives a socket that was never connected. */
function gate(perSecond: number, waitingAtMost = 1_000) {
  const clock = createFakeClock();
  const letIn: string[] = [];
  const dones = new Map<string, { readonly socket: Socket; readonly done: () => void }>();
  const lines: Record<string, number>[] = [];
  let comers = 0;
  const accept = createPacedAccept({
    ...{ clock, perSecond, burst: perSecond, waitingAtMost, lateMs: 75 },
    isKnown: (address) => address === 'fleet',
    log: (_message, fields) => lines.push(fields),
  });
  const offer = (address = 'stranger'): Comer => {
    comers += 1;
    const comer: Comer = {
      ...{ name: `${address} ${comers}`, address, isTold: false, isLeg: false, isRefused: false },
      take: (have) => have(new Socket(), new Uint8Array()),
      refuse: () => {
        comer.isRefused = true;
      },
      gone: () => undefined,
    };
    accept.offer(comer, (socket, _early, done) => {
      letIn.push(comer.name);
      dones.set(comer.name, { socket, done });
    });
    return comer;
  };
  return { clock, letIn, lines, offer, dones };
}

test('a burst is let in at once, the rest at the rate, a known instance before those who came earlier', async () => {
  const { clock, letIn, offer, dones } = gate(10);
  const comers = Array.from({ length: 14 }, () => offer());
  const known = offer('fleet');
  expect(letIn).toEqual(comers.slice(0, 10).map(({ name }) => name));
  await clock.advance(100);
  expect(letIn.at(-1)).toBe(known.name);
  await clock.advance(400);
  expect(letIn).toHaveLength(15);
  for (const { done } of dones.values()) done();
  await clock.advance(100);
  expect(clock.pending()).toBe(0);
});

test('places are free again when the answer was given, when the socket closed, and when it was too slow', async () => {
  const { clock, letIn, offer, dones } = gate(1_000);
  const most = acceptLimits.underWayAtFirst;
  for (let n = 0; n < most + 30; n++) offer('fleet');
  expect(letIn).toHaveLength(most);
  const [first, second] = [...dones.values()];
  first?.done();
  expect(letIn).toHaveLength(most + 1);
  second?.socket.destroy();
  await settle();
  expect(letIn).toHaveLength(most + 2);
  await clock.advance(acceptLimits.countsForMs + 100);
  expect(letIn).toHaveLength(most + 30);
});

test('one that went while it waited takes no turn', async () => {
  const { clock, letIn, offer } = gate(1);
  offer();
  offer().gone();
  const last = offer();
  await clock.advance(1_000);
  expect(letIn.at(-1)).toBe(last.name);
  expect(letIn).toHaveLength(2);
});

test('over the room connections are closed, and that is logged once in a while, with the count', () => {
  const { lines, offer } = gate(1, 80);
  const comers = Array.from({ length: 50 }, () => offer());
  // One is let in, and an eighth of the room is for one address.
  expect(comers.filter(({ isRefused }) => isRefused)).toHaveLength(39);
  expect(lines).toEqual([{ closed: 1, waiting: 10 }]);
});
