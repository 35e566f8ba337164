import { hashSchema, headSchema, PamError, personUidSchema, signInNameSchema, toBase64url } from '@sallyport/protocol';
import { z } from 'zod';
import { fromBase64url } from '../bytes.ts';
import { openUnder, parseOpened, readHeader, requireExactHeader, type SealedRules, sealUnder } from '../jose/sealed.ts';
import { importBoxKey, importSigningKey, privateJwkSchema } from '../keys/ec-key.ts';
import { hkdf } from '../keys/symmetric.ts';
import { refusal } from '../refuse.ts';
import { readAccountSecret, readRecoveryCode } from './paper-secrets.ts';

const personBlobSchema = z.strictObject({
  v: z.literal(1),
  personUid: personUidSchema,
  name: signInNameSchema,
  signKey: privateJwkSchema,
  boxKey: privateJwkSchema,
  anchor: hashSchema,
  floor: headSchema,
});

/** What a person needs on a new device: the two private keys, the anchor and a floor. Secret. */
export type PersonBlob = Readonly<z.infer<typeof personBlobSchema>>;

const personRules = {
  typ: 'sallyport-person+jwe',
  maxChars: 8_192,
  code: 'PAM_ACCOUNT_SECRET_WRONG',
  what: 'The sealed keys of this person',
} as const satisfies SealedRules;

const recoveryRules = {
  typ: 'sallyport-recovery+jwe',
  maxChars: 8_192,
  code: 'PAM_RECOVERY_FAILED',
  what: 'The keys sealed for recovery',
} as const satisfies SealedRules;

/**
 * Key of a person's blob: HKDF over OPAQUE's export key, salted with the account secret. The router can guess a
 * password off line; it cannot guess 128 bits more.
 */
async function personKey(exportKey: string, accountSecret: string) {
  const exported = fromBase64url(exportKey);
  if (exported === undefined || exported.length < 32) throw new PamError('PAM_INTERNAL', 'OPAQUE gave no export key.');
  const { secret } = await readAccountSecret(accountSecret);
  return hkdf(exported, secret, 'sallyport-person');
}

/** @param exportKey - base64url, from `finishRegistration` or `finishSignIn`. */
export async function sealPersonBlob(blob: PersonBlob, exportKey: string, accountSecret: string): Promise<string> {
  const text = JSON.stringify(personBlobSchema.parse(blob));
  return sealUnder(await personKey(exportKey, accountSecret), personRules.typ, {}, text);
}

/** @throws PAM_ACCOUNT_SECRET_WRONG with why: length, symbol, mistyped, size, form, header, key, payload, keys. */
export async function openPersonBlob(jwe: string, exportKey: string, accountSecret: string): Promise<PersonBlob> {
  requireExactHeader(readHeader(jwe, personRules, 'A256KW'), {}, personRules);
  const text = await openUnder(await personKey(exportKey, accountSecret), jwe, personRules);
  return requireOwnKeys(parseOpened(text, personBlobSchema, personRules), personRules);
}

/** Name under which the router keeps a recovery blob; says nothing about the code. */
export async function recoveryLookup(code: string): Promise<string> {
  const { secret } = await readRecoveryCode(code);
  return toBase64url(await hkdf(secret, new Uint8Array(), 'sallyport-recovery-name'));
}

async function recoveryKey(code: string) {
  const { secret } = await readRecoveryCode(code);
  return hkdf(secret, new Uint8Array(), 'sallyport-recovery-blob');
}

export async function sealRecoveryBlob(blob: PersonBlob, code: string): Promise<string> {
  const text = JSON.stringify(personBlobSchema.parse(blob));
  return sealUnder(await recoveryKey(code), recoveryRules.typ, {}, text);
}

/** @throws PAM_RECOVERY_FAILED with whys as `openPersonBlob`. */
export async function openRecoveryBlob(jwe: string, code: string): Promise<PersonBlob> {
  requireExactHeader(readHeader(jwe, recoveryRules, 'A256KW'), {}, recoveryRules);
  const text = await openUnder(await recoveryKey(code), jwe, recoveryRules);
  return requireOwnKeys(parseOpened(text, personBlobSchema, recoveryRules), recoveryRules);
}

async function requireOwnKeys(blob: PersonBlob, rules: SealedRules): Promise<PersonBlob> {
  try {
    await importSigningKey(blob.signKey);
    await importBoxKey(blob.boxKey);
  } catch (reason) {
    throw refusal(rules.code, 'keys', `${rules.what} do not match.`, reason);
  }
  return blob;
}
