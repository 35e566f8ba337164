import type { InstanceId } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { createParkDesk, legsWanted } from './park-desk.ts';

const one = 'i1' as InstanceId;

function desk() {
  let nowMs = 0;
  let tickets = 0;
  const asked: [string, readonly string[]][] = [];
  const parks = createParkDesk({
    monotonicMs: () => nowMs,
    newTicket: () => `t${++tickets}`,
    ask: (link, given) => asked.push([link, given]),
  });
  return { parks, asked, pass: (ms: number) => (nowMs += ms) };
}

test('an instance is asked for legs when it is dispatched to, for more under load, never for more than 16', () => {
  expect([0, 0.1, 5, 10, 1_000].map(legsWanted)).toEqual([1, 2, 2, 3, 16]);
  const { parks, asked } = desk();
  parks.dispatched(one, 'l1');
  expect(asked).toEqual([['l1', ['t1', 't2']]]);
  parks.dispatched(one, 'l1');
  expect(asked).toHaveLength(1);
});

test('a leg is taken once, and one that was lost is never taken', () => {
  const { parks } = desk();
  parks.dispatched(one, 'l1');
  parks.parked('t1', 7);
  parks.parked('t2', 8);
  parks.parked('unknown', 9);
  parks.lost(8);
  expect([parks.take(one), parks.take(one)]).toEqual([7, null]);
});

test('missing legs are asked for again, and no more after a minute without dispatch or when the link closed', () => {
  const { parks, asked, pass } = desk();
  parks.dispatched(one, 'l1');
  pass(10_000);
  parks.tick();
  expect(asked).toHaveLength(2);
  pass(50_000);
  parks.tick();
  pass(10_000);
  parks.tick();
  expect(asked).toHaveLength(2);
  parks.dispatched(one, 'l1');
  parks.parked('t5', 5);
  parks.forget(one);
  expect(parks.take(one)).toBeNull();
});
