import { createHash } from 'node:crypto';
import { type AuditEvent, PamError } from '@sallyport/protocol';
import { eventHash, type LogState, type RouterHead, verifyEvent } from '@sallyport/seal';
import type { Memory } from '../profile/memory.ts';

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
}

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
  return { start: null, seq: 0, hash: '', expected, actors: new Map(), events: 0, signed: 0 };
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
  };
}

/** After the last event: a head that was signed or remembered and never met means that the tail was cut off. */
export function endAudit(state: AuditState): void {
  const [missing] = state.expected.keys();
  if (missing === undefined) return;
  const [start, seq] = missing.split('/');
  throw broken(`event ${seq} of start ${start} was seen before and is missing now: the end was cut off`);
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
  readonly seq: number;
  readonly prev: string;
}

/** Instances sign with a key that lives with their process and is in no log: their chains are compared, not their keys. */
function peekActorEvent(jws: string): Peeked {
  const payload: unknown = JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString('utf8'));
  const { actor, seq, prev } = payload as Partial<Peeked>;
  if (typeof actor !== 'string' || typeof seq !== 'number' || typeof prev !== 'string')
    throw broken('an actor event is malformed');
  return { actor, seq, prev };
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
