import { hashSchema, PamError, toBase64url } from '@sallyport/protocol';
import { type Bytes, concatBytes, fromBase64url, hashText, randomBytes, sha256 } from '../bytes.ts';
import { refusal } from '../refuse.ts';

const secretBytes = 16;
const pinBytes = 32;
const checkBytes = 2;

export interface SetupCode {
  /** 67 characters: base64url of secret, pin and two check bytes; its first character is a letter. */
  readonly code: string;
  /** 22 characters: the only part that is sent. */
  readonly secret: string;
  /** What the router keeps. */
  readonly secretHash: string;
}

/**
 * The code that claims a new router: 128 bits of secret and the pin of the router's key, so that `pam` knows the
 * router before it sends anything.
 *
 * @param pin - base64url SHA-256 of the router key's SPKI, 43 characters.
 */
export async function newSetupCode(pin: string): Promise<SetupCode> {
  const pinned = fromBase64url(hashSchema.parse(pin));
  if (pinned?.length !== pinBytes) throw new PamError('PAM_INTERNAL', 'The pin of the router key is malformed.');
  let secret: Bytes;
  do secret = randomBytes(secretBytes);
  while (!/^[A-Za-z]/.test(toBase64url(secret)));
  const body = concatBytes(secret, pinned);
  const code = toBase64url(concatBytes(body, (await sha256(body)).subarray(0, checkBytes)));
  const text = toBase64url(secret);
  return { code, secret: text, secretHash: await hashSetupSecret(text) };
}

/** @throws PAM_SETUP_CODE_INVALID; detail.why: truncated, form, mistyped. White space inside is ignored. */
export async function parseSetupCode(code: string): Promise<{ readonly secret: string; readonly pin: string }> {
  const text = code.length > 512 ? '' : code.replaceAll(/\s+/g, '');
  if (/^[\w-]{1,66}$/.test(text)) {
    throw refusal('PAM_SETUP_CODE_INVALID', 'truncated', `The setup code has ${text.length} of 67 characters.`);
  }
  const bytes = fromBase64url(text);
  if (bytes?.length !== secretBytes + pinBytes + checkBytes) {
    throw refusal('PAM_SETUP_CODE_INVALID', 'form', 'This is not a setup code.');
  }
  const body = bytes.slice(0, secretBytes + pinBytes);
  const check = await sha256(body);
  if (bytes.at(-2) !== check[0] || bytes.at(-1) !== check[1]) {
    throw refusal('PAM_SETUP_CODE_INVALID', 'mistyped', 'The setup code is mistyped: copy the whole line again.');
  }
  return { secret: toBase64url(body.subarray(0, secretBytes)), pin: toBase64url(body.subarray(secretBytes)) };
}

/** What the router stores in place of the secret. Enough for 128 random bits; no stretching needed. */
export function hashSetupSecret(secret: string): Promise<string> {
  return hashText(`sallyport-setup ${secret}`);
}
