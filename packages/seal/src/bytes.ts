import { sha256 } from '#digest';
import { toBase64url } from '@sallyport/protocol';
import { base64url } from 'jose';

/** Bytes that WebCrypto takes: never a view of shared memory. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

export function utf8(text: string): Bytes {
  return encoder.encode(text);
}

/** Throws TypeError when the bytes are not UTF-8; callers turn it into their own refusal. */
export function fromUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

export function copyBytes(bytes: Uint8Array): Bytes {
  return new Uint8Array(bytes);
}

export function concatBytes(...parts: readonly Uint8Array[]): Bytes {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Cryptographic randomness of the platform; never seeded. */
export function randomBytes(length: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(length));
}

const lastCharacters = [/^/, /(?!)/, /[AQgw]$/, /[AEIMQUYcgkosw048]$/] as const;

/** Decodes canonical base64url without padding (unused bits are zero); undefined when the text is anything else. */
export function fromBase64url(text: string): Bytes | undefined {
  if (!/^[\w-]*$/.test(text) || lastCharacters[text.length % 4]?.test(text) !== true) return undefined;
  return base64url.decode(text) as Bytes;
}

export { sha256 } from '#digest';

/** base64url SHA-256 of UTF-8 text, 43 characters: how log entries, requests and events are named. */
export async function hashText(text: string): Promise<string> {
  return toBase64url(await sha256(utf8(text)));
}
