import { hash } from 'node:crypto';
import type { Bytes } from '../bytes.ts';

/** In this thread: WebCrypto gives each digest to another one, which takes longer than the digest. */
export async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(hash('sha256', bytes, 'buffer'));
}
