import {
  type ApplicationUid,
  applicationUidSchema,
  generationSchema,
  hashSchema,
  keyPartSchema,
  toBase64url,
} from '@sallyport/protocol';
import { z } from 'zod';
import { fromBase64url } from '../bytes.ts';
import { openBy, readHeader, requireExactHeader, sealFor, type SealedRules } from '../jose/sealed.ts';
import { openStatement, signStatement } from '../jose/statement.ts';
import { type BoxKey, type PublicJwk, type SigningKey, thumbprint } from '../keys/ec-key.ts';
import { hkdf } from '../keys/symmetric.ts';
import type { Commitments } from '../log/entry.ts';
import type { LogState } from '../log/state.ts';
import { refusal } from '../refuse.ts';

const wrapPlaceSchema = z.strictObject({
  app: applicationUidSchema,
  part: keyPartSchema,
  gen: generationSchema,
});
/** Which key of which application a wrap holds. */
export type WrapPlace = Readonly<z.infer<typeof wrapPlaceSchema>>;

const signedWrapSchema = z.strictObject({
  ...wrapPlaceSchema.shape,
  to: hashSchema,
  at: z.int().min(0),
  key: hashSchema,
});

const rules = {
  typ: 'sallyport-wrap+jwe',
  maxChars: 8_192,
  code: 'PAM_WRAP_INVALID',
  what: 'The wrap of a key',
} as const satisfies SealedRules;

/**
 * Wraps one key of an application for a recipient, signed by the granter: `ECDH-ES+A256KW` alone is anonymous, and the
 * router could put a key of its own in place (proven.md 2).
 */
export async function wrapKey(
  place: WrapPlace,
  key: Uint8Array,
  recipient: PublicJwk,
  granter: SigningKey,
  nowSeconds: number,
): Promise<string> {
  const { app, part, gen } = place;
  const header = { app, part, gen, to: await thumbprint(recipient) };
  const payload = { ...header, at: nowSeconds, key: toBase64url(key) };
  return sealFor(recipient, 'sallyport-wrap+jwe', header, await signStatement('sallyport-wrap+jws', payload, granter));
}

/**
 * Unwraps a key: made for this place and this box, granted by a device with the right 'applications' or 'gateways',
 * and equal to the key that the log's generation commits to.
 *
 * @returns 32 bytes. Hold this array: importing is cached by it.
 * @throws PAM_WRAP_INVALID; detail.why: size, form, header, place, key, payload, signer, right, signature,
 * generation, commitment.
 */
export async function unwrapKey(jwe: string, want: WrapPlace, box: BoxKey, log: LogState): Promise<Uint8Array> {
  const { app, part, gen } = want;
  const place = { app, part, gen, to: box.id };
  const members = readHeader(jwe, rules, 'ECDH-ES+A256KW');
  for (const [name, value] of Object.entries(place)) {
    if (members.has(name) && members.get(name) !== value) {
      throw refusal(rules.code, 'place', `The wrap of a key is for another ${name === 'to' ? 'recipient' : name}.`);
    }
  }
  requireExactHeader(members, place, rules);
  const { payload } = await openStatement(await openBy(box, jwe, rules), {
    typ: 'sallyport-wrap+jws',
    maxChars: rules.maxChars,
    schema: signedWrapSchema,
    code: rules.code,
    what: 'The grant inside the wrap of a key',
    keyOf: (granter) => {
      const device = log.devices.get(granter);
      if (device === undefined) return undefined;
      if (log.grants(granter, 'applications') || log.grants(granter, 'gateways')) return device.key;
      throw refusal(rules.code, 'right', 'The wrap of a key is signed by a device that may not grant it.');
    },
  });
  if (payload.app !== app || payload.part !== part || payload.gen !== gen || payload.to !== box.id) {
    throw refusal(rules.code, 'place', 'The grant inside the wrap of a key is for another place.');
  }
  const application = log.apps.get(app);
  const commitment = application?.removed === false ? application.generations.get(gen)?.[part] : undefined;
  if (commitment === undefined) {
    throw refusal(rules.code, 'generation', `The trust log names no generation ${gen} of application ${app}.`);
  }
  const key = fromBase64url(payload.key);
  if (key === undefined) throw refusal(rules.code, 'payload', 'The wrap of a key does not hold a key.');
  if ((await commitKey(key, want)) !== commitment) {
    throw refusal(rules.code, 'commitment', 'A wrapped key is not the one that the trust log commits to.');
  }
  return key;
}

/** One-way name of a key in its place: HKDF-SHA-256, so that nobody learns more than equality. */
async function commitKey(key: Uint8Array, place: WrapPlace): Promise<string> {
  const info = `sallyport-commitment ${place.app} ${place.part} ${place.gen}`;
  return toBase64url(await hkdf(key, new Uint8Array(), info));
}

/** Commitments of the three keys of a generation, for its `generation` entry in the log. */
export async function commitKeys(
  app: ApplicationUid,
  gen: number,
  keys: { readonly facts: Uint8Array; readonly secrets: Uint8Array; readonly recordings: Uint8Array },
): Promise<Commitments> {
  const [facts, secrets, recordings] = await Promise.all([
    commitKey(keys.facts, { app, gen, part: 'facts' }),
    commitKey(keys.secrets, { app, gen, part: 'secrets' }),
    commitKey(keys.recordings, { app, gen, part: 'recordings' }),
  ]);
  return { facts, secrets, recordings };
}
