import {
  applicationUidSchema,
  type ErrorCode,
  generationSchema,
  itemTypeSchema,
  itemUidSchema,
  partSchema,
  revisionSchema,
} from '@sallyport/protocol';
import { z } from 'zod';
import { readHeader, type SealedRules } from '../jose/sealed.ts';
import { refusal } from '../refuse.ts';

const placePartSchema = z.union([partSchema, z.literal('recordings')]);
export type PlacePart = z.infer<typeof placePartSchema>;

export const placeSchema = z.strictObject({
  app: applicationUidSchema,
  uid: itemUidSchema,
  type: itemTypeSchema,
  part: placePartSchema,
  gen: generationSchema,
  rev: revisionSchema,
});

/** Where an envelope belongs: bound in its protected header and in what its author signed. */
export type Place = Readonly<z.infer<typeof placeSchema>>;
/** What a reader asks for: an exact revision, or the least it accepts. */
export type WantedPlace = Readonly<
  Omit<Place, 'rev'> & { readonly rev: number | Readonly<{ readonly atLeast: number }> }
>;

/** Longest envelope, characters. */
export const envelopeMaxChars = 98_304;

export const partRules = {
  typ: 'sallyport-part+jwe',
  maxChars: envelopeMaxChars,
  code: 'PAM_SEAL_BROKEN',
  what: 'A sealed part',
} as const satisfies SealedRules;

/**
 * The place an envelope claims: unauthenticated, for indexing only.
 *
 * @throws PAM_SEAL_BROKEN when the text is no envelope of this kind or its header is not exactly a place.
 */
export function peekPlace(jwe: string): Place {
  const place = placeSchema.safeParse(Object.fromEntries(readHeader(jwe, partRules, 'A256KW')));
  if (!place.success) throw refusal(partRules.code, 'header', 'A sealed part names no place.', place.error);
  return place.data;
}

/**
 * Compares a place with the one asked for.
 *
 * @throws PAM_SEAL_STALE for an older revision or generation, PAM_SEAL_MISPLACED for anything else that differs;
 * detail.why names the member.
 */
export function requirePlace(place: Place, want: WantedPlace): void {
  for (const name of ['app', 'uid', 'type', 'part'] as const) {
    if (place[name] !== want[name]) throw elsewhere('PAM_SEAL_MISPLACED', name, place[name], want[name]);
  }
  if (place.gen !== want.gen) {
    throw elsewhere(place.gen < want.gen ? 'PAM_SEAL_STALE' : 'PAM_SEAL_MISPLACED', 'gen', place.gen, want.gen);
  }
  const least = typeof want.rev === 'number' ? want.rev : want.rev.atLeast;
  if (place.rev < least) throw elsewhere('PAM_SEAL_STALE', 'rev', place.rev, least);
  if (typeof want.rev === 'number' && place.rev !== want.rev) {
    throw elsewhere('PAM_SEAL_MISPLACED', 'rev', place.rev, want.rev);
  }
}

const words = {
  app: 'application',
  uid: 'item',
  type: 'type',
  part: 'part',
  gen: 'generation',
  rev: 'revision',
} as const;

function elsewhere(code: ErrorCode, name: keyof typeof words, found: string | number, wanted: string | number) {
  return refusal(code, name, `A sealed part is for ${words[name]} ${found}, asked for was ${wanted}.`);
}
