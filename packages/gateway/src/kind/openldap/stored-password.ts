import { createHash, randomBytes } from 'node:crypto';
import type { Secret } from '@sallyport/rotation';

/** Salted hashes that slapd reads: the first by itself, the others with its module pw-sha2. */
const digests = { SSHA: 'sha1', SSHA256: 'sha256', SSHA384: 'sha384', SSHA512: 'sha512' } as const;
type Scheme = keyof typeof digests;

/** How the new password is written: in clear for a server that hashes it, or hashed here. */
export type PasswordForm =
  | { readonly kind: 'clear' }
  | { readonly kind: 'hashed'; readonly scheme: Scheme }
  | { readonly kind: 'impossible'; readonly why: string };

const schemePattern = /^\{([^}]{1,32})\}/;
const isScheme = (name: string): name is Scheme => Object.hasOwn(digests, name);

/**
 * A directory keeps what a Modify brings: a password in clear stays in clear, unless the overlay ppolicy hashes it
 * (`ppolicy_hash_cleartext`). No client can ask for that setting, so the record says it: `ldapPasswordHash` is `server`,
 * or the scheme to hash with; without it the scheme of the password that is stored now is kept.
 *
 * @param stored - values of `userPassword` as far as the login may read them.
 */
export function decideForm(setting: string | undefined, stored: readonly string[]): PasswordForm {
  if (stored.some((value) => !schemePattern.test(value))) return { kind: 'hashed', scheme: 'SSHA' };
  if (setting === 'server') return { kind: 'clear' };
  const name = (setting ?? schemePattern.exec(stored[0] ?? '{SSHA}')?.[1] ?? '').toUpperCase();
  if (isScheme(name)) return { kind: 'hashed', scheme: name };
  const why = `passwords here are kept as {${name}}, which is not made by gateways`;
  return { kind: 'impossible', why: `${why}: set ldapPasswordHash to server or to ${Object.keys(digests).join(', ')}` };
}

/** The value of `userPassword` (RFC 2307 section 5.3). The secret is random, so a fast digest gives nothing away. */
export function storedForm(form: Exclude<PasswordForm, { kind: 'impossible' }>, password: Secret): string {
  if (form.kind === 'clear') return password.reveal();
  const salt = randomBytes(16);
  const digest = createHash(digests[form.scheme]).update(password.reveal(), 'utf8').update(salt).digest();
  return `{${form.scheme}}${Buffer.concat([digest, salt]).toString('base64')}`;
}
