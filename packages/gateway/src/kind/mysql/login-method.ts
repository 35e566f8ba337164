import { createHash } from 'node:crypto';

/** Login methods that never show the password to who listens. Others are refused, and so are their accounts. */
const loginMethods = ['mysql_native_password', 'caching_sha2_password'] as const;
export type LoginMethod = (typeof loginMethods)[number];

export const isLoginMethod = (plugin: string): plugin is LoginMethod =>
  (loginMethods as readonly string[]).includes(plugin);

const hash = (method: 'sha1' | 'sha256', ...parts: readonly Uint8Array[]): Buffer => {
  const digest = createHash(method);
  for (const part of parts) digest.update(part);
  return digest.digest();
};
const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((byte, index) => byte ^ (b[index] ?? 0)));

/**
 * The answer to a server's challenge.
 *
 * @see MySQL internals, "Native Authentication": SHA1(p) ⊕ SHA1(challenge, SHA1(SHA1(p))), and "Caching_sha2_password":
 * SHA256(p) ⊕ SHA256(SHA256(SHA256(p)), challenge).
 */
export function answerTo(method: LoginMethod, password: string, challenge: Buffer): Buffer {
  const text = Buffer.from(password, 'utf8');
  switch (method) {
    case 'mysql_native_password': {
      const once = hash('sha1', text);
      return xor(once, hash('sha1', challenge, hash('sha1', once)));
    }
    case 'caching_sha2_password': {
      const once = hash('sha256', text);
      return xor(once, hash('sha256', hash('sha256', once), challenge));
    }
    default:
      return method satisfies never;
  }
}

/** What `PASSWORD()` makes of a password for `mysql_native_password`: `*` and 40 hexadecimal digits. */
export function nativeHash(password: string): string {
  const twice = hash('sha1', hash('sha1', Buffer.from(password, 'utf8')));
  return `*${twice.toString('hex').toUpperCase()}`;
}
