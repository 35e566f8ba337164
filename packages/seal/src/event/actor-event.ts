import { hashSchema } from '@sallyport/protocol';
import { z } from 'zod';
import { hashText } from '../bytes.ts';
import { openStatement, signStatement } from '../jose/statement.ts';
import { type PublicJwk, type SigningKey, thumbprint } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';

const eventSchema = z.strictObject({
  /** Device id, or thumbprint of an instance's key: must be the signer. */
  actor: hashSchema,
  /** From 1, without a gap. */
  seq: z.int().min(1),
  /** Hash of the actor's event before; '' in the first. */
  prev: z.union([z.literal(''), hashSchema]),
  at: z.int().min(0).max(253_402_300_799),
  /** `METHOD /path` of an audited route, or a word of the control link (`stream.events`). */
  act: z.string().regex(/^[A-Za-z][\w ./-]{0,255}$/),
  /** UIDs and ids it was done to. */
  on: z.array(z.string().regex(/^[\w-]{1,64}$/)).max(64),
  /** digestOf(the rest of the message that carries the event). */
  digest: hashSchema,
});

/** What an actor signs and numbers itself; the router orders these and cannot make, drop or change one unseen. */
export type ActorEvent = Readonly<z.infer<typeof eventSchema>>;

export async function signEvent(event: ActorEvent, key: SigningKey): Promise<string> {
  return signStatement('sallyport-event+jws', eventSchema.parse(event), key);
}

/**
 * Verifies one event; that `seq` and `prev` continue the actor's chain is for the caller, who knows the chain.
 *
 * @throws PAM_AUDIT_BROKEN with why: size, form, header, payload, signer, signature, actor.
 */
export async function verifyEvent(jws: string, publicJwk: PublicJwk): Promise<ActorEvent> {
  const id = await thumbprint(publicJwk);
  const { payload } = await openStatement(jws, {
    typ: 'sallyport-event+jws',
    maxChars: 16_384,
    schema: eventSchema,
    code: 'PAM_AUDIT_BROKEN',
    what: 'A signed event',
    keyOf: (kid) => (kid === id ? publicJwk : undefined),
  });
  if (payload.actor !== id) throw refusal('PAM_AUDIT_BROKEN', 'actor', 'A signed event names another actor.');
  return payload;
}

export function eventHash(jws: string): Promise<string> {
  return hashText(jws);
}
