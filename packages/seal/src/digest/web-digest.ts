import type { Bytes } from '../bytes.ts';

/** Where there is only WebCrypto: a page. */
export async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}
