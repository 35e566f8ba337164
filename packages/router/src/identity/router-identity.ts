import { PamError } from '@sallyport/protocol';
import { newRouterIdentity, pinOfKey, type SigningKey, signingKeyFromPem } from '@sallyport/seal';
import { z } from 'zod';
import type { IdentityStore } from './identity-store.ts';

/** What makes this router itself; made at the first start, kept in the store and so in its backups. */
export interface RouterIdentity {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  /** base64url SHA-256 of the public key: what profiles and join configurations pin. */
  readonly pin: string;
  /** Signs audit heads. */
  readonly key: SigningKey;
  /** Number of this start of the router: Unix ms, greater than every earlier one. Names its audit chain. */
  readonly start: number;
}

const storedSchema = z.strictObject({
  certificatePem: z.string().min(64).max(16_384),
  privateKeyPem: z.string().min(64).max(16_384),
});

async function nextStart(store: IdentityStore, nowMs: number): Promise<number> {
  const last = Number((await store.readSetting({ key: 'last-start' })) ?? 0);
  const start = Math.max(nowMs, last + 1);
  await store.writeSetting({ key: 'last-start', value: String(start) });
  return start;
}

/**
 * Loads the router's key and certificate, or makes them at the first start.
 *
 * @param names - host names and addresses for the certificate; clients check the pin, not the name.
 * @throws PAM_STORE_DAMAGED when the stored identity is not one.
 */
export async function loadRouterIdentity(
  store: IdentityStore,
  names: readonly string[],
  nowMs: number,
): Promise<RouterIdentity> {
  const key = 'router-identity';
  let text = await store.readSetting({ key });
  if (text === null) {
    const { certificatePem, privateKeyPem } = await newRouterIdentity(names, nowMs);
    text = await store.initSetting({ key, value: JSON.stringify({ certificatePem, privateKeyPem }) });
  }
  try {
    const stored = storedSchema.parse(JSON.parse(text));
    const key = await signingKeyFromPem(stored.privateKeyPem);
    return {
      ...stored,
      // Not read from the certificate: what reads one takes a quarter of a router's start to load.
      pin: await pinOfKey(key.publicJwk),
      key,
      start: await nextStart(store, nowMs),
    };
  } catch (reason) {
    throw PamError.from(reason, 'PAM_STORE_DAMAGED', 'the stored router identity is not one');
  }
}
