import { type Bytes, randomBytes } from '../bytes.ts';
import { type PublicJwk, type SigningKey, verificationKey } from '../keys/ec-key.ts';
import { loadX509 } from './x509-library.ts';

export interface TlsIdentity {
  readonly certificatePem: string;
  /** PKCS#8. Secret. */
  readonly privateKeyPem: string;
}

export interface CertificateProfile {
  readonly subject: string;
  readonly issuer: string;
  readonly names: readonly { readonly type: 'url' | 'dns' | 'ip'; readonly value: string }[];
  readonly usage: 'serverAuth' | 'clientAuth';
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** X.509 v3 (RFC 5280): random serial, not a CA, digitalSignature only, one extended usage, one list of names. */
export async function makeCertificate(
  profile: CertificateProfile,
  publicJwk: PublicJwk,
  issuer: SigningKey,
): Promise<string> {
  const x509 = await loadX509();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: hex(positive(randomBytes(16))),
    subject: [{ CN: [profile.subject] }],
    issuer: [{ CN: [profile.issuer] }],
    notBefore: new Date(profile.notBeforeMs),
    notAfter: new Date(profile.notAfterMs),
    publicKey: await verificationKey(publicJwk),
    signingKey: issuer.privateKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[profile.usage]], true),
      ...(profile.names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension([...profile.names])]),
    ],
  });
  return certificate.toString('pem');
}

export async function privatePem(key: SigningKey): Promise<string> {
  const x509 = await loadX509();
  return x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key.privateKey), 'PRIVATE KEY');
}

function positive(bytes: Bytes): Bytes {
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}

function hex(bytes: Bytes): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
