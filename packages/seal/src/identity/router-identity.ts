import { toBase64url } from '@sallyport/protocol';
import { sha256 } from '../bytes.ts';
import { newSigningKey, type PublicJwk, type SigningKey, verificationKey } from '../keys/ec-key.ts';
import { makeCertificate, privatePem, type TlsIdentity } from './make-certificate.ts';

const lifeMs = 3_650 * 86_400_000;
const backdatedMs = 86_400_000;

export interface RouterIdentity extends TlsIdentity {
  readonly key: SigningKey;
  /** base64url SHA-256 of the SPKI; what the setup code, the log and join configurations carry. */
  readonly pin: string;
}

/**
 * TLS identity of a router: self-signed, ten years; trusted by its pin, never by its names.
 *
 * @param names - DNS names and IP addresses, put into the certificate for clients that look.
 */
export async function newRouterIdentity(names: readonly string[], nowMs: number): Promise<RouterIdentity> {
  const key = await newSigningKey();
  const profile = {
    subject: 'sallyport router',
    issuer: 'sallyport router',
    names: names.map((value) => ({ type: isAddress(value) ? 'ip' : 'dns', value }) as const),
    usage: 'serverAuth',
    notBeforeMs: nowMs - backdatedMs,
    notAfterMs: nowMs + lifeMs,
  } as const;
  const certificatePem = await makeCertificate(profile, key.publicJwk, key);
  return { key, certificatePem, privateKeyPem: await privatePem(key), pin: await pinOfKey(key.publicJwk) };
}

function isAddress(name: string): boolean {
  return name.includes(':') || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);
}

/** The pin of a public key: base64url SHA-256 of its SPKI in DER (RFC 7469 section 2.4, base64url). */
export async function pinOfKey(jwk: PublicJwk): Promise<string> {
  const spki = await crypto.subtle.exportKey('spki', await verificationKey(jwk));
  return toBase64url(await sha256(new Uint8Array(spki)));
}
