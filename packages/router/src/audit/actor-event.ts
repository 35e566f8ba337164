import { PamError, type PersonUid } from '@sallyport/protocol';
import { type ActorEvent, digestOf, eventHash, type PublicJwk, verifyEvent } from '@sallyport/seal';
import type { NewEvent } from './audit-store.ts';

const clockToleranceMs = 600_000;

/**
 * Checks the event an actor signed about what it asks for, and answers the row that continues its chain.
 *
 * @param want.content - what the digest must cover: the body as it was sent, without the event.
 * @throws PAM_PROOF_INVALID naming the field (`detail.why`), PAM_CLOCK_SKEW. The sequence is checked by the store, in
 *   the transaction of the effect.
 */
export async function checkActorEvent(
  jws: string,
  want: {
    readonly actor: string;
    readonly key: PublicJwk;
    readonly act: string;
    readonly content: unknown;
    readonly kind: string;
    readonly body: Readonly<Record<string, unknown>>;
    readonly nowMs: number;
  },
): Promise<NewEvent> {
  const event: ActorEvent = await verifyEvent(jws, want.key);
  const refuse = (why: string): PamError =>
    new PamError('PAM_PROOF_INVALID', `the signed audit event does not fit the request: ${why}`, { detail: { why } });
  if (event.actor !== want.actor) throw refuse('actor');
  if (event.act !== want.act) throw refuse('act');
  if (event.digest !== (await digestOf(want.content))) throw refuse('digest');
  const offMs = event.at * 1_000 - want.nowMs;
  if (Math.abs(offMs) > clockToleranceMs) {
    throw new PamError('PAM_CLOCK_SKEW', `the clock of the caller is ${Math.round(offMs / 1_000)} s off`, {
      detail: { offSeconds: Math.round(offMs / 1_000) },
    });
  }
  return {
    atMs: want.nowMs,
    kind: want.kind,
    body: JSON.stringify({ ...want.body, on: event.on }),
    actorEvent: jws,
    actor: { id: event.actor, seq: event.seq, prev: event.prev, hash: await eventHash(jws) },
  };
}

/**
 * Checks an event that its actor gives back because the router lost it. What it was about is not there any more and is not done
 * again: the row says only that it was given back.
 *
 * @throws PAM_PROOF_INVALID when it is another actor's, PAM_AUDIT_BROKEN when it is not signed by `key`. The sequence is the store's.
 */
export async function readGivenBackEvent(
  jws: string,
  of: {
    readonly actor: string;
    readonly key: PublicJwk;
    readonly person: PersonUid;
    readonly nowMs: number;
  },
): Promise<NewEvent> {
  const event = await verifyEvent(jws, of.key);
  if (event.actor !== of.actor) {
    throw new PamError('PAM_PROOF_INVALID', 'the signed audit event is of another actor', { detail: { why: 'actor' } });
  }
  const { act, on, at, seq, prev } = event;
  return {
    atMs: of.nowMs,
    kind: 'event.given-back',
    body: JSON.stringify({ person: of.person, device: of.actor, act, at, on }),
    actorEvent: jws,
    actor: { id: of.actor, seq, prev, hash: await eventHash(jws) },
  };
}
