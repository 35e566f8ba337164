import type { LegRole, LegStatus } from '@sallyport/protocol';
import type { ExpectedTicket, RelayLimits } from './relay-messages.ts';

/**
 * What the relay knows: tickets and waiting legs. Pure decisions over plain data that one owner changes; no sockets, no
 * clock. Spliced pairs are not here any more: they need no further decision.
 *
 * - S8 a ticket is matched once, by the right role. A match may expect several instance tickets (a hedge): the first
 *   pair wins, all other tickets of the match are used up with it.
 * - A leg of another role than its ticket's is UNKNOWN and does not spend the ticket.
 */
export interface RelayTable {
  readonly tickets: Map<string, Ticket>;
  readonly byMatch: Map<string, Ticket[]>;
  /** Legs that wait for their peer, by match. */
  readonly waiting: Map<string, WaitingLeg[]>;
  readonly parked: Map<number, ParkedEntry>;
}

interface Ticket {
  readonly role: LegRole;
  readonly match: string;
  spent: boolean;
  endsAtMs: number;
}

interface WaitingLeg {
  readonly leg: number;
  readonly role: 'client' | 'instance';
  readonly ticket: string;
  readonly sinceMs: number;
}

interface ParkedEntry {
  readonly endsAtMs: number;
  /** Set once BIND was written; the leg becomes an instance leg when BOUND comes. */
  readonly boundTo: string | null;
}

export type RelayEffect =
  /** Writes a status byte and closes the leg after it. */
  | { readonly kind: 'refuse'; readonly leg: number; readonly status: LegStatus }
  | { readonly kind: 'echoed'; readonly leg: number; readonly ticket: string }
  | { readonly kind: 'parked'; readonly leg: number; readonly ticket: string }
  | { readonly kind: 'bind'; readonly leg: number; readonly ticket: string }
  | { readonly kind: 'bound'; readonly leg: number; readonly ticket: string }
  | { readonly kind: 'parked-lost'; readonly leg: number; readonly close: boolean }
  | { readonly kind: 'alone'; readonly leg: number; readonly match: string; readonly role: LegRole }
  | {
      readonly kind: 'match';
      readonly match: string;
      readonly client: number;
      readonly instance: number;
      readonly clientTicket: string;
      readonly instanceTicket: string;
    };

export type RelayEvent =
  | { readonly kind: 'expect'; readonly tickets: readonly ExpectedTicket[] }
  | { readonly kind: 'leg'; readonly leg: number; readonly role: LegRole; readonly ticket: string }
  | { readonly kind: 'bind'; readonly leg: number; readonly ticket: string }
  /** A parked leg answered: one byte, BOUND or something else. */
  | { readonly kind: 'park-answer'; readonly leg: number; readonly isBound: boolean }
  | { readonly kind: 'gone'; readonly leg: number }
  | { readonly kind: 'forget'; readonly match: string }
  | { readonly kind: 'sweep' };

export function newRelayTable(): RelayTable {
  return { tickets: new Map(), byMatch: new Map(), waiting: new Map(), parked: new Map() };
}

/** Times the table needs; milliseconds. `jitter` in 0..1 spreads the ends of parked legs by ± 20 %. */
export interface RelayRules {
  readonly limits: Pick<RelayLimits, 'aloneAfterMs' | 'parkLifeMs' | 'ticketLifeMs'>;
  readonly jitter: () => number;
}

/**
 * Applies one event. The table is changed in place: it holds thousands of tickets and has one owner.
 *
 * @param nowMs - monotonic milliseconds.
 */
export function stepRelay(table: RelayTable, event: RelayEvent, nowMs: number, rules: RelayRules): RelayEffect[] {
  switch (event.kind) {
    case 'expect':
      for (const ticket of event.tickets)
        expectTicket(table, ticket, nowMs + (ticket.lifeMs ?? rules.limits.ticketLifeMs));
      return [];
    case 'leg':
      return attach(table, event.leg, event.role, event.ticket, nowMs, rules);
    case 'bind':
      return bind(table, event.leg, event.ticket);
    case 'park-answer':
      return answered(table, event.leg, event.isBound, nowMs, rules);
    case 'gone':
      return gone(table, event.leg);
    case 'forget':
      spendAll(table, event.match);
      return [];
    case 'sweep':
      return sweep(table, nowMs, rules);
    default:
      return event satisfies never;
  }
}

function expectTicket(table: RelayTable, expected: ExpectedTicket, endsAtMs: number): void {
  const entry: Ticket = { role: expected.role, match: expected.match, spent: false, endsAtMs };
  table.tickets.set(expected.ticket, entry);
  const ofMatch = table.byMatch.get(expected.match);
  if (ofMatch === undefined) table.byMatch.set(expected.match, [entry]);
  else ofMatch.push(entry);
}

function spendAll(table: RelayTable, match: string): void {
  for (const entry of table.byMatch.get(match) ?? []) entry.spent = true;
}

function attach(
  table: RelayTable,
  leg: number,
  role: LegRole,
  ticket: string,
  nowMs: number,
  rules: RelayRules,
): RelayEffect[] {
  const entry = table.tickets.get(ticket);
  if (entry === undefined || entry.role !== role || (!entry.spent && nowMs >= entry.endsAtMs)) {
    return [{ kind: 'refuse', leg, status: 'unknown' }];
  }
  if (entry.spent) return [{ kind: 'refuse', leg, status: 'used' }];
  // A used ticket is remembered as long again as it lived, so that its reuse is told as such.
  entry.spent = true;
  entry.endsAtMs = nowMs + rules.limits.ticketLifeMs;
  switch (role) {
    case 'echo':
      return [{ kind: 'echoed', leg, ticket }];
    case 'park': {
      const lifeMs = rules.limits.parkLifeMs * (0.8 + 0.4 * rules.jitter());
      table.parked.set(leg, { endsAtMs: nowMs + lifeMs, boundTo: null });
      return [{ kind: 'parked', leg, ticket }];
    }
    case 'client':
    case 'instance':
      return meet(table, entry.match, { leg, role, ticket, sinceMs: nowMs });
    default:
      return role satisfies never;
  }
}

function meet(table: RelayTable, match: string, arrived: WaitingLeg): RelayEffect[] {
  const waiting = table.waiting.get(match) ?? [];
  const peer = waiting.find(({ role }) => role !== arrived.role);
  if (peer === undefined) {
    table.waiting.set(match, [...waiting, arrived]);
    return [];
  }
  table.waiting.delete(match);
  spendAll(table, match);
  const [client, instance] = arrived.role === 'client' ? [arrived, peer] : [peer, arrived];
  const losers = waiting.filter(({ leg }) => leg !== peer.leg);
  return [
    {
      kind: 'match',
      match,
      client: client.leg,
      instance: instance.leg,
      clientTicket: client.ticket,
      instanceTicket: instance.ticket,
    },
    ...losers.map(({ leg }): RelayEffect => ({ kind: 'refuse', leg, status: 'used' })),
  ];
}

function bind(table: RelayTable, leg: number, ticket: string): RelayEffect[] {
  const parked = table.parked.get(leg);
  if (parked === undefined || parked.boundTo !== null) return [{ kind: 'parked-lost', leg, close: false }];
  table.parked.set(leg, { ...parked, boundTo: ticket });
  return [{ kind: 'bind', leg, ticket }];
}

function answered(table: RelayTable, leg: number, isBound: boolean, nowMs: number, rules: RelayRules): RelayEffect[] {
  const ticket = table.parked.get(leg)?.boundTo ?? null;
  table.parked.delete(leg);
  if (ticket === null || !isBound) return [{ kind: 'parked-lost', leg, close: true }];
  return [{ kind: 'bound', leg, ticket }, ...attach(table, leg, 'instance', ticket, nowMs, rules)];
}

function gone(table: RelayTable, leg: number): RelayEffect[] {
  if (table.parked.delete(leg)) return [{ kind: 'parked-lost', leg, close: false }];
  for (const [match, legs] of table.waiting) {
    const left = legs.filter((waiting) => waiting.leg !== leg);
    if (left.length === legs.length) continue;
    if (left.length === 0) table.waiting.delete(match);
    else table.waiting.set(match, left);
    return [];
  }
  return [];
}

function sweep(table: RelayTable, nowMs: number, rules: RelayRules): RelayEffect[] {
  const effects: RelayEffect[] = [];
  for (const [ticket, entry] of table.tickets) {
    if (nowMs < entry.endsAtMs) continue;
    table.tickets.delete(ticket);
    const left = (table.byMatch.get(entry.match) ?? []).filter((other) => other !== entry);
    if (left.length === 0) table.byMatch.delete(entry.match);
    else table.byMatch.set(entry.match, left);
  }
  for (const [match, legs] of table.waiting) {
    const late = legs.filter(({ sinceMs }) => nowMs - sinceMs >= rules.limits.aloneAfterMs);
    for (const { leg, role } of late) effects.push({ kind: 'alone', leg, match, role });
    const left = legs.filter((leg) => !late.includes(leg));
    if (left.length === 0) table.waiting.delete(match);
    else table.waiting.set(match, left);
  }
  for (const [leg, { endsAtMs }] of table.parked) {
    if (nowMs < endsAtMs) continue;
    table.parked.delete(leg);
    effects.push({ kind: 'parked-lost', leg, close: true });
  }
  return effects;
}
