import { expect, test } from 'vitest';
import type { ExpectedTicket } from './relay-messages.ts';
import { newRelayTable, type RelayEffect, type RelayEvent, type RelayTable, stepRelay } from './relay-table.ts';

const rules = { limits: { aloneAfterMs: 5_000, parkLifeMs: 45_000, ticketLifeMs: 10_000 }, jitter: () => 0.5 };

function relay() {
  const table: RelayTable = newRelayTable();
  const at = (nowMs: number, event: RelayEvent): RelayEffect[] => stepRelay(table, event, nowMs, rules);
  return { table, at };
}
const expected = (ticket: string, role: ExpectedTicket['role'], match = 'm'): ExpectedTicket => ({
  ticket,
  role,
  match,
});

test('joins the two legs of a match, whichever comes first', () => {
  for (const order of [
    ['client', 'instance'],
    ['instance', 'client'],
  ] as const) {
    const { at } = relay();
    at(0, { kind: 'expect', tickets: [expected('c', 'client'), expected('i', 'instance')] });
    const legs = order.map((role, i) => at(1, { kind: 'leg', leg: i, role, ticket: role === 'client' ? 'c' : 'i' }));
    expect(legs[0]).toEqual([]);
    expect(legs[1]).toMatchObject([{ kind: 'match', clientTicket: 'c', instanceTicket: 'i' }]);
  }
});

test('gives unknown, used, foreign-role and expired tickets each their status', () => {
  const { at } = relay();
  at(0, { kind: 'expect', tickets: [expected('c', 'client'), expected('late', 'client', 'other')] });
  const refusal = (status: string) => [{ kind: 'refuse', leg: 9, status }];
  expect(at(1, { kind: 'leg', leg: 9, role: 'client', ticket: 'never seen' })).toEqual(refusal('unknown'));
  expect(at(1, { kind: 'leg', leg: 9, role: 'instance', ticket: 'c' })).toEqual(refusal('unknown'));
  expect(at(1, { kind: 'leg', leg: 1, role: 'client', ticket: 'c' })).toEqual([]);
  expect(at(2, { kind: 'leg', leg: 9, role: 'client', ticket: 'c' })).toEqual(refusal('used'));
  expect(at(10_000, { kind: 'leg', leg: 9, role: 'client', ticket: 'late' })).toEqual(refusal('unknown'));
});

test('a leg of the wrong role does not spend the ticket', () => {
  const { at } = relay();
  at(0, { kind: 'expect', tickets: [expected('c', 'client')] });
  at(0, { kind: 'leg', leg: 1, role: 'park', ticket: 'c' });
  expect(at(0, { kind: 'leg', leg: 2, role: 'client', ticket: 'c' })).toEqual([]);
});

test('of a hedged match the first instance wins and the other ticket is used up', () => {
  const { at } = relay();
  at(0, { kind: 'expect', tickets: [expected('c', 'client'), expected('i', 'instance')] });
  at(0, { kind: 'leg', leg: 1, role: 'client', ticket: 'c' });
  at(300, { kind: 'expect', tickets: [expected('j', 'instance')] });
  expect(at(310, { kind: 'leg', leg: 2, role: 'instance', ticket: 'j' })).toMatchObject([
    { kind: 'match', instance: 2 },
  ]);
  expect(at(320, { kind: 'leg', leg: 3, role: 'instance', ticket: 'i' })).toEqual([
    { kind: 'refuse', leg: 3, status: 'used' },
  ]);
});

test('two instances waiting for one client: one is matched, the other told that its ticket is used', () => {
  const { at } = relay();
  at(0, { kind: 'expect', tickets: [expected('c', 'client'), expected('i', 'instance'), expected('j', 'instance')] });
  at(0, { kind: 'leg', leg: 1, role: 'instance', ticket: 'i' });
  at(0, { kind: 'leg', leg: 2, role: 'instance', ticket: 'j' });
  expect(at(0, { kind: 'leg', leg: 3, role: 'client', ticket: 'c' })).toMatchObject([
    { kind: 'match', client: 3, instance: 1 },
    { kind: 'refuse', leg: 2, status: 'used' },
  ]);
});

test('tells a leg that it is alone after 5 s, and forgets one that left', () => {
  const { at, table } = relay();
  at(0, { kind: 'expect', tickets: [expected('c', 'client'), expected('d', 'client', 'n')] });
  at(0, { kind: 'leg', leg: 1, role: 'client', ticket: 'c' });
  at(0, { kind: 'leg', leg: 2, role: 'client', ticket: 'd' });
  at(100, { kind: 'gone', leg: 2 });
  expect(at(4_999, { kind: 'sweep' })).toEqual([]);
  expect(at(5_000, { kind: 'sweep' })).toEqual([{ kind: 'alone', leg: 1, match: 'm', role: 'client' }]);
  expect(table.waiting.size).toBe(0);
});

test('binds a parked leg to a dispatch: it counts once BOUND came back', () => {
  const { at } = relay();
  at(0, { kind: 'expect', tickets: [expected('p', 'park'), expected('c', 'client'), expected('i', 'instance')] });
  expect(at(0, { kind: 'leg', leg: 1, role: 'park', ticket: 'p' })).toEqual([{ kind: 'parked', leg: 1, ticket: 'p' }]);
  at(1, { kind: 'leg', leg: 2, role: 'client', ticket: 'c' });
  expect(at(1, { kind: 'bind', leg: 1, ticket: 'i' })).toEqual([{ kind: 'bind', leg: 1, ticket: 'i' }]);
  expect(at(2, { kind: 'park-answer', leg: 1, isBound: true })).toMatchObject([
    { kind: 'bound', leg: 1, ticket: 'i' },
    { kind: 'match', client: 2, instance: 1 },
  ]);
});

test('loses a parked leg that left, spoke out of turn or grew old, and says so once', () => {
  const { at } = relay();
  at(0, { kind: 'expect', tickets: ['p', 'q', 'r'].map((ticket) => expected(ticket, 'park', ticket)) });
  for (const [leg, ticket] of ['p', 'q', 'r'].entries()) at(0, { kind: 'leg', leg, role: 'park', ticket });
  expect(at(1, { kind: 'gone', leg: 0 })).toEqual([{ kind: 'parked-lost', leg: 0, close: false }]);
  expect(at(1, { kind: 'bind', leg: 0, ticket: 'x' })).toEqual([{ kind: 'parked-lost', leg: 0, close: false }]);
  expect(at(1, { kind: 'park-answer', leg: 1, isBound: true })).toEqual([{ kind: 'parked-lost', leg: 1, close: true }]);
  expect(at(45_000, { kind: 'sweep' })).toEqual([{ kind: 'parked-lost', leg: 2, close: true }]);
});

test('forgetting a match voids its unused tickets', () => {
  const { at } = relay();
  at(0, { kind: 'expect', tickets: [expected('c', 'client')] });
  at(0, { kind: 'forget', match: 'm' });
  expect(at(0, { kind: 'leg', leg: 1, role: 'client', ticket: 'c' })).toEqual([
    { kind: 'refuse', leg: 1, status: 'used' },
  ]);
});

test('keeps nothing of tickets whose time is over', () => {
  const { at, table } = relay();
  at(0, { kind: 'expect', tickets: Array.from({ length: 100 }, (_, i) => expected(`t${i}`, 'client', `m${i}`)) });
  at(10_000, { kind: 'sweep' });
  expect(table.tickets.size + table.byMatch.size).toBe(0);
});
