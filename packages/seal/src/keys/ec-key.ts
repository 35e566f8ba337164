import { type InstanceId, instanceIdSchema, PamError } from '@sallyport/protocol';
import { calculateJwkThumbprint, exportJWK, importPKCS8 } from 'jose';
import { z } from 'zod';
import { randomBytes } from '../bytes.ts';

const coordinate = z.string().regex(/^[\w-]{43}$/);

export const publicJwkSchema = z.strictObject({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: coordinate,
  y: coordinate,
});
export const privateJwkSchema = z.strictObject({ ...publicJwkSchema.shape, d: coordinate });

/** Public half of a P-256 key (RFC 7518 section 6.2): exactly these four members. */
export type PublicJwk = Readonly<z.infer<typeof publicJwkSchema>>;
/** Secret: never logged, only ever sealed or written to a file of mode 0600. */
export type PrivateJwk = Readonly<z.infer<typeof privateJwkSchema>>;

/** ES256. `id` is the RFC 7638 thumbprint of the public half, 43 characters, and the `kid` of what it signs. */
export interface SigningKey {
  readonly use: 'sign';
  readonly id: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: PublicJwk;
}

/** ECDH P-256: opens wraps and sealed options. `id` as above. */
export interface BoxKey {
  readonly use: 'box';
  readonly id: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: PublicJwk;
}

const signAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const boxAlgorithm = { name: 'ECDH', namedCurve: 'P-256' };

async function publicOf(key: CryptoKey): Promise<PublicJwk> {
  const { kty, crv, x, y } = await exportJWK(key);
  return publicJwkSchema.parse({ kty, crv, x, y });
}

export async function newSigningKey(): Promise<SigningKey> {
  const pair = await crypto.subtle.generateKey(signAlgorithm, true, ['sign', 'verify']);
  const publicJwk = await publicOf(pair.publicKey);
  return { use: 'sign', id: await thumbprint(publicJwk), privateKey: pair.privateKey, publicJwk };
}

export async function newBoxKey(): Promise<BoxKey> {
  const pair = await crypto.subtle.generateKey(boxAlgorithm, true, ['deriveBits']);
  const publicJwk = await publicOf(pair.publicKey);
  return { use: 'box', id: await thumbprint(publicJwk), privateKey: pair.privateKey, publicJwk };
}

export async function exportPrivate(key: SigningKey | BoxKey): Promise<PrivateJwk> {
  const { kty, crv, x, y, d } = await exportJWK(key.privateKey);
  return privateJwkSchema.parse({ kty, crv, x, y, d });
}

function split(jwk: PrivateJwk): { readonly secret: PrivateJwk; readonly publicJwk: PublicJwk } {
  const parsed = privateJwkSchema.safeParse(jwk);
  if (!parsed.success) throw new PamError('PAM_BAD_REQUEST', 'This is not a private P-256 key in JWK form.');
  const { kty, crv, x, y } = parsed.data;
  return { secret: parsed.data, publicJwk: { kty, crv, x, y } };
}

function mismatch(cause?: unknown): PamError {
  return new PamError('PAM_BAD_REQUEST', 'The private and the public half of a P-256 key do not belong together.', {
    cause,
  });
}

/** @throws PAM_BAD_REQUEST when a member is missing, too many or malformed, or the two halves do not match. */
export async function importSigningKey(jwk: PrivateJwk): Promise<SigningKey> {
  const { secret, publicJwk } = split(jwk);
  let proved: boolean;
  let privateKey: CryptoKey;
  try {
    privateKey = await crypto.subtle.importKey('jwk', { ...secret }, signAlgorithm, true, ['sign']);
    const challenge = randomBytes(16);
    const how = { name: 'ECDSA', hash: 'SHA-256' };
    const signature = await crypto.subtle.sign(how, privateKey, challenge);
    proved = await crypto.subtle.verify(how, await verificationKey(publicJwk), signature, challenge);
  } catch (reason) {
    throw mismatch(reason);
  }
  if (!proved) throw mismatch();
  return { use: 'sign', id: await thumbprint(publicJwk), privateKey, publicJwk };
}

/** @throws PAM_BAD_REQUEST like `importSigningKey`. */
export async function importBoxKey(jwk: PrivateJwk): Promise<BoxKey> {
  const { secret, publicJwk } = split(jwk);
  let privateKey: CryptoKey;
  let proved: boolean;
  try {
    privateKey = await crypto.subtle.importKey('jwk', { ...secret }, boxAlgorithm, true, ['deriveBits']);
    const fresh = await crypto.subtle.generateKey(boxAlgorithm, false, ['deriveBits']);
    const theirs = await crypto.subtle.importKey('jwk', { ...publicJwk }, boxAlgorithm, false, []);
    const one = await crypto.subtle.deriveBits({ name: 'ECDH', public: fresh.publicKey }, privateKey, 256);
    const other = await crypto.subtle.deriveBits({ name: 'ECDH', public: theirs }, fresh.privateKey, 256);
    proved = new Uint8Array(one).every((byte, index) => byte === new Uint8Array(other)[index]);
  } catch (reason) {
    throw mismatch(reason);
  }
  if (!proved) throw mismatch();
  return { use: 'box', id: await thumbprint(publicJwk), privateKey, publicJwk };
}

/** Signing key out of a PKCS#8 PEM text: the router's TLS key also signs its audit heads. */
export async function signingKeyFromPem(pem: string): Promise<SigningKey> {
  let jwk: unknown;
  try {
    const { kty, crv, x, y, d } = await exportJWK(await importPKCS8(pem, 'ES256', { extractable: true }));
    jwk = { kty, crv, x, y, d };
  } catch (reason) {
    throw new PamError('PAM_BAD_REQUEST', 'This is not a P-256 private key in PKCS#8 PEM form.', { cause: reason });
  }
  const parsed = privateJwkSchema.safeParse(jwk);
  if (!parsed.success) throw new PamError('PAM_BAD_REQUEST', 'This PEM text does not hold a P-256 private key.');
  return importSigningKey(parsed.data);
}

const thumbprints = new WeakMap<PublicJwk, Promise<string>>();

/** RFC 7638 SHA-256 thumbprint, 43 base64url characters; made once per JWK object. */
export function thumbprint(jwk: PublicJwk): Promise<string> {
  const known = thumbprints.get(jwk);
  if (known !== undefined) return known;
  const made = calculateJwkThumbprint({ kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }, 'sha256');
  thumbprints.set(jwk, made);
  return made;
}

/** Instance id: the first 22 characters of the thumbprint, so that no other key can claim it. */
export async function instanceIdOf(jwk: PublicJwk): Promise<InstanceId> {
  return instanceIdSchema.parse((await thumbprint(jwk)).slice(0, 22));
}

const verificationKeys = new WeakMap<PublicJwk, Promise<CryptoKey>>();

/** Imports a public key for ES256 once per JWK object (importing each time costs 25–40 %: proven.md 2). */
export function verificationKey(jwk: PublicJwk): Promise<CryptoKey> {
  const known = verificationKeys.get(jwk);
  if (known !== undefined) return known;
  const imported = crypto.subtle.importKey('jwk', { ...jwk }, signAlgorithm, true, ['verify']);
  verificationKeys.set(jwk, imported);
  return imported;
}

/** Imports a public key for ECDH. */
export function recipientKey(jwk: PublicJwk): Promise<CryptoKey> {
  return crypto.subtle.importKey('jwk', { ...jwk }, boxAlgorithm, true, []);
}
