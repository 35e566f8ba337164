import { PamError, type Right } from '@sallyport/protocol';
import { z } from 'zod';
import { utf8 } from '../bytes.ts';
import { openUnder, sealUnder } from '../jose/sealed.ts';
import { openStatement, signStatement } from '../jose/statement.ts';
import type { PublicJwk, SigningKey } from '../keys/ec-key.ts';
import type { LogState } from '../log/state.ts';
import { refusal } from '../refuse.ts';
import { type CandidateProof, candidateProofSchema, checkCandidateProof, gatewayWithKey } from './candidate-proof.ts';
import {
  envelopeMaxChars,
  partRules,
  peekPlace,
  type Place,
  placeSchema,
  requirePlace,
  type WantedPlace,
} from './place.ts';

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };

/** Longest body of one part, bytes of JSON: the envelope of it stays under 98,304 characters. */
export const bodyMaxBytes = 49_152;

const signedPartSchema = z.strictObject({
  ...placeSchema.shape,
  at: z.int().min(0),
  body: z.unknown(),
  proof: z.exactOptional(candidateProofSchema),
});

export interface OpenedPart {
  readonly body: unknown;
  readonly place: Place;
  /** Device id; for `state` and `recordings` also the thumbprint of a pool's signing key. */
  readonly author: string;
  /** Unix seconds by the author's clock. */
  readonly at: number;
  /** Order that an instance wrote a secret with, checked; null: a device wrote it. */
  readonly proof: CandidateProof | null;
}

/**
 * Seals one part of an item: a JWS by its author inside a JWE under the application's key of that part (`state` under
 * the facts key).
 *
 * @param key - 32 bytes; the same array each time (imported once).
 * @throws PAM_TOO_LARGE over 49,152 bytes of JSON; PAM_BAD_REQUEST for a malformed place.
 */
export function sealPart(
  place: Place,
  body: JsonValue,
  key: Uint8Array,
  author: SigningKey,
  nowSeconds: number,
): Promise<string> {
  return seal(place, body, key, author, nowSeconds, {});
}

/**
 * Seals a secret that an instance made for a record: `secrets` of the revision after the one it was ordered from,
 * signed by the pool, with the order it obeyed.
 *
 * @throws as `sealPart`; PAM_BAD_REQUEST for another part than `secrets` of a `pamUser`.
 */
export function sealCandidate(
  place: Place,
  body: JsonValue,
  key: Uint8Array,
  poolKey: SigningKey,
  proof: CandidateProof,
  nowSeconds: number,
): Promise<string> {
  if (place.part !== 'secrets' || place.type !== 'pamUser') {
    throw new PamError('PAM_BAD_REQUEST', 'Instances write secrets of users and nothing else.');
  }
  return seal(place, body, key, poolKey, nowSeconds, { proof });
}

async function seal(
  place: Place,
  body: JsonValue,
  key: Uint8Array,
  author: SigningKey,
  nowSeconds: number,
  more: { readonly proof?: CandidateProof },
): Promise<string> {
  const parsed = placeSchema.safeParse(place);
  if (!parsed.success) {
    throw new PamError('PAM_BAD_REQUEST', 'This is not a place in the vault.', { cause: parsed.error });
  }
  const { app, uid, type, part, gen, rev } = parsed.data;
  const header = { app, uid, type, part, gen, rev };
  const bytes = utf8(JSON.stringify(body)).length;
  if (bytes > bodyMaxBytes) {
    throw new PamError('PAM_TOO_LARGE', `This part has ${bytes} bytes, at most ${bodyMaxBytes} can be sealed.`, {
      detail: { bytes, limit: bodyMaxBytes },
    });
  }
  const statement = await signStatement('sallyport-part+jws', { ...header, at: nowSeconds, body, ...more }, author);
  return sealUnder(key, 'sallyport-part+jwe', header, statement);
}

/**
 * Opens one part and checks where it belongs and who wrote it. Who may write: facts need the right 'records' (of
 * applications 'applications', of gateways 'gateways', of `pamUser` 'secrets': pointing a credential somewhere is as
 * strong as reading it), secrets need 'secrets'
 * or, of a `pamUser`, a pool's key with the order it obeyed, state and recordings 'records' or the signing key of a gateway of the
 * application that stands. A removed author is refused.
 *
 * @returns the body as parsed JSON; its shape is for the caller to check.
 * @throws PAM_SEAL_BROKEN, PAM_SEAL_MISPLACED, PAM_SEAL_STALE, PAM_SEAL_AUTHOR; detail.why says which check.
 */
export async function openPart(jwe: string, want: WantedPlace, key: Uint8Array, log: LogState): Promise<OpenedPart> {
  const place = peekPlace(jwe);
  requirePlace(place, want);
  const statement = await openUnder(key, jwe, partRules);
  const { kid, payload } = await openStatement(statement, {
    typ: 'sallyport-part+jws',
    maxChars: envelopeMaxChars,
    schema: signedPartSchema,
    code: 'PAM_SEAL_AUTHOR',
    what: 'The author statement of a sealed part',
    keyOf: (author) => authorKey(author, place, log),
  });
  const { at, body, proof, ...signed } = payload;
  requirePlace(signed, place);
  const pool = log.devices.has(kid) ? undefined : gatewayWithKey(kid, place, log);
  if (place.part === 'secrets' && pool !== undefined) {
    await checkCandidateProof(proof, { place, at, gateway: pool.gateway }, log);
  } else if (proof !== undefined) {
    throw refusal('PAM_SEAL_AUTHOR', 'proof', `A sealed part of ${place.uid} carries an order that is not for it.`);
  }
  return { body, place, author: kid, at, proof: proof ?? null };
}

function authorKey(author: string, place: Place, log: LogState): PublicJwk | undefined {
  const device = log.devices.get(author);
  if (device !== undefined) {
    const right = rightToWrite(place);
    if (log.grants(author, right)) return device.key;
    const why = device.removed ? 'removed' : 'right';
    const problem = device.removed ? 'by a device that was removed' : `without the right '${right}'`;
    throw refusal('PAM_SEAL_AUTHOR', why, `A sealed part of ${place.uid} was written ${problem}.`);
  }
  if (place.part === 'secrets' && place.type === 'pamUser') return gatewayWithKey(author, place, log)?.key;
  if (place.part !== 'state' && place.part !== 'recordings') return undefined;
  for (const gateway of log.gateways.values()) {
    if (gateway.signKeyId === author && gateway.app === place.app && !gateway.removed) return gateway.signKey;
  }
  return undefined;
}

function rightToWrite(place: Place): Right {
  if (place.part === 'secrets') return 'secrets';
  if (place.part !== 'facts') return 'records';
  if (place.type === 'application') return 'applications';
  if (place.type === 'gateway') return 'gateways';
  return place.type === 'pamUser' ? 'secrets' : 'records';
}
