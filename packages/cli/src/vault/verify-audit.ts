import { createHash } from 'node:crypto';
import { type AuditEvent, PamError, reopenLog } from '@sallyport/protocol';
import { eventHash, type LogState, type RouterHead, verifyEvent } from '@sallyport/seal';
import type { Memory } from '../profile/memory.ts';
import { holdsEnds, type LostEvents, readReopening, type Reopening } from './reopening.ts';

/** What was learnt while events were verified in order. */
export interface AuditState {
  readonly start: number | null;
  readonly seq: number;
  readonly hash: string;
  /** Hash by start and number where somebody remembers or signs one. */
  readonly expected: ReadonlyMap<string, string>;
  /** End of each actor's own chain. */
  readonly actors: ReadonlyMap<string, { readonly seq: number; readonly hash: string }>;
  readonly events: number;
  readonly signed: number;
  /** Events that their actor gave back after a restore: signed by it, and lost by the router before. */
  readonly givenBack: number;
  /** Last event of each start that was left behind. */
  readonly ends: ReadonlyMap<number, { readonly seq: number; readonly hash: string }>;
  /** Persons' words that a restore is over, in order. */
  readonly reopenings: readonly Reopening[];
}

const nothingYet = { events: 0, signed: 0, givenBack: 0, ends: new Map(), reopenings: [] };

const keyOf = (start: number, seq: number) => `${start}/${seq}`;

/** Begins: heads signed by the router and heads this profile remembers must all be met on the way. */
export function beginAudit(heads: readonly RouterHead[], remembered: Memory['auditHeads']): AuditState {
  const expected = new Map<string, string>();
  for (const [start, head] of Object.entries(remembered))
    if (head.seq > 0) expected.set(keyOf(Number(start), head.seq), head.hash);
  for (const head of heads) {
    const known = expected.get(keyOf(head.start, head.seq));
    if (known !== undefined && known !== head.hash)
      throw broken(`the router signed another event ${head.seq} of start ${head.start} than the one remembered here`);
    if (head.seq > 0) expected.set(keyOf(head.start, head.seq), head.hash);
  }
  return { start: null, seq: 0, hash: '', expected, actors: new Map(), ...nothingYet };
}

/**
 * Verifies the next event: number, link to the one before, own hash, the actor's signature and chain. PAM_AUDIT_BROKEN
 * naming the event and what is wrong with it.
 */
export async function nextAuditEvent(state: AuditState, event: AuditEvent, log: LogState): Promise<AuditState> {
  const newStart = state.start !== event.start;
  if (newStart && state.start !== null && event.start < state.start)
    throw broken(`start ${event.start} comes after start ${state.start}`);
  const [seq, prev] = newStart ? [1, ''] : [state.seq + 1, state.hash];
  const name = `event ${event.seq} of start ${event.start}`;
  if (event.seq !== seq)
    throw broken(`event ${seq} of start ${event.start} is missing: ${event.seq} follows ${seq - 1}`);
  if (event.prev !== prev) throw broken(`${name} does not follow the one before it`);
  if (auditHash(event) !== event.hash) throw broken(`${name} was changed: its hash does not fit`);
  const expected = state.expected.get(keyOf(event.start, event.seq));
  if (expected !== undefined && expected !== event.hash)
    throw broken(`${name} is not the one that was signed or remembered`);
  const open = new Map(state.expected);
  open.delete(keyOf(event.start, event.seq));
  const actors =
    event.actorEvent === null ? state.actors : await nextActorEvent(state.actors, event.actorEvent, name, log);
  return {
    start: event.start,
    seq: event.seq,
    hash: event.hash,
    expected: open,
    actors,
    events: state.events + 1,
    signed: state.signed + (event.actorEvent === null ? 0 : 1),
    givenBack: state.givenBack + (event.kind === 'event.given-back' ? 1 : 0),
    ends: newStart ? endsOf(state) : state.ends,
    reopenings: [...state.reopenings, ...(await reopeningIn(event, log))],
  };
}

/**
 * After the last event: a head that was signed or remembered and never met means that the tail was cut off. A person may have said
 * that a restore lost it, and where the log ended then: so far it is lost, no more, and the log must still end there.
 *
 * @returns what is lost of starts before such a restore.
 * @throws PAM_AUDIT_BROKEN for everything else that is missing.
 */
export async function endAudit(state: AuditState): Promise<readonly LostEvents[]> {
  const ends = endsOf(state);
  for (const reopening of state.reopenings) {
    if (await holdsEnds(reopening, ends)) continue;
    throw broken(`the starts before the restore that ${reopening.device} reopened do not end where it signed`);
  }
  const covered = Math.max(-1, ...state.reopenings.map(({ lastStart }) => lastStart));
  const lost = new Map<number, LostEvents>();
  for (const missing of state.expected.keys()) {
    const [start = 0, seq = 0] = missing.split('/').map(Number);
    if (start > covered)
      throw broken(`event ${seq} of start ${start} was seen before and is missing now: the end was cut off`);
    const seen = Math.max(seq, lost.get(start)?.seen ?? 0);
    lost.set(start, { start, left: ends.get(start)?.seq ?? 0, seen });
  }
  return [...lost.values()].sort((a, b) => a.start - b.start);
}

function endsOf({ ends, start, seq, hash }: AuditState): AuditState['ends'] {
  return start === null ? ends : new Map(ends).set(start, { seq, hash });
}

/** The reopening that an event is; it counts when its signer's person may reopen. */
async function reopeningIn(event: AuditEvent, log: LogState): Promise<readonly Reopening[]> {
  if (event.kind !== 'trust.reopened' || event.actorEvent === null) return [];
  const { actor, digest, act } = peekActorEvent(event.actorEvent);
  const may = log.personOf(actor)?.rights.includes('router') === true;
  if (!may || act !== `${reopenLog.method} ${reopenLog.path}`) return [];
  const reopening = await readReopening(event.body, digest);
  return reopening?.device === actor ? [reopening] : [];
}

/** base64url SHA-256 of the JSON array [router, start, seq, prev, atMs, kind, body, actorEvent]. */
export function auditHash(event: AuditEvent): string {
  const { router, start, seq, prev, atMs, kind, body, actorEvent } = event;
  return createHash('sha256')
    .update(JSON.stringify([router, start, seq, prev, atMs, kind, body, actorEvent]))
    .digest('base64url');
}

async function nextActorEvent(
  actors: AuditState['actors'],
  jws: string,
  name: string,
  log: LogState,
): Promise<AuditState['actors']> {
  const actor = actorOf(jws);
  const device = log.devices.get(actor);
  const before = actors.get(actor) ?? { seq: 0, hash: '' };
  const read = device === undefined ? peekActorEvent(jws) : await verifyEvent(jws, device.key);
  if (device !== undefined && read.actor !== actor) throw broken(`${name} is signed for another actor`);
  if (read.seq !== before.seq + 1 || read.prev !== before.hash) {
    throw broken(`${name}: the chain of actor ${actor} has a gap or fork at its event ${read.seq}`);
  }
  return new Map(actors).set(actor, { seq: read.seq, hash: await eventHash(jws) });
}

interface Peeked {
  readonly actor: string;
  readonly act: string;
  readonly digest: string;
  readonly seq: number;
  readonly prev: string;
}

/** Instances sign with a key that lives with their process and is in no log: their chains are compared, not their keys. */
function peekActorEvent(jws: string): Peeked {
  const payload: unknown = JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString('utf8'));
  const { actor, seq, prev, act = '', digest = '' } = payload as Partial<Peeked>;
  if (typeof actor !== 'string' || typeof seq !== 'number' || typeof prev !== 'string')
    throw broken('an actor event is malformed');
  return { actor, seq, prev, act, digest };
}

function actorOf(jws: string): string {
  try {
    return peekActorEvent(jws).actor;
  } catch (reason) {
    throw PamError.from(reason, 'PAM_AUDIT_BROKEN', 'an actor event is malformed');
  }
}

function broken(what: string): PamError {
  return new PamError('PAM_AUDIT_BROKEN', what);
}
