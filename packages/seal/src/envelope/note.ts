import { applicationUidSchema, type JobId, jobIdSchema, PamError } from '@sallyport/protocol';
import { z } from 'zod';
import { utf8 } from '../bytes.ts';
import { openUnder, parseOpened, readHeader, requireExactHeader, sealUnder, type SealedRules } from '../jose/sealed.ts';
import type { JsonValue } from './part.ts';

/** Longest body of a note, bytes of JSON. */
export const noteMaxBytes = 40_960;

const placeSchema = z.strictObject({
  app: applicationUidSchema,
  job: jobIdSchema,
  gen: z.int().min(1).max(1_000_000),
});
interface NotePlace {
  readonly app: z.infer<typeof applicationUidSchema>;
  readonly job: JobId;
  readonly gen: number;
}

const rules = {
  typ: 'sallyport-job-note+jwe',
  maxChars: 65_536,
  code: 'PAM_SEAL_BROKEN',
  what: 'A note of a job',
} as const satisfies SealedRules;

/**
 * Seals what an instance has to say about a job under the application's facts key: target's words, addresses, output of
 * scripts. The router keeps it and cannot read it; who holds facts can write one, so nothing is decided by a note but
 * where its own writer goes on.
 *
 * @throws PAM_TOO_LARGE over 40,960 bytes of JSON.
 */
export async function sealNote(place: NotePlace, body: JsonValue, factsKey: Uint8Array): Promise<string> {
  const text = JSON.stringify(body);
  const bytes = utf8(text).length;
  if (bytes > noteMaxBytes) {
    throw new PamError('PAM_TOO_LARGE', `This note has ${bytes} bytes, at most ${noteMaxBytes} can be sealed.`);
  }
  return sealUnder(factsKey, rules.typ, { ...placeSchema.parse(place) }, text);
}

/** @throws PAM_SEAL_BROKEN with why: size, form, header, key, payload. */
export async function openNote(jwe: string, place: NotePlace, factsKey: Uint8Array): Promise<unknown> {
  requireExactHeader(readHeader(jwe, rules, 'A256KW'), { ...place }, rules);
  return parseOpened(await openUnder(factsKey, jwe, rules), z.unknown(), rules);
}
