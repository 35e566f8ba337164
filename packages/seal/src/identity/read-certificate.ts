import type { X509Certificate } from '@peculiar/x509';
import { type ErrorCode, PamError, toBase64url } from '@sallyport/protocol';
import { exportJWK } from 'jose';
import { copyBytes, sha256 } from '../bytes.ts';
import { type PublicJwk, publicJwkSchema } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';
import { hasExactFraming } from './der-framing.ts';
import { loadX509 } from './x509-library.ts';

const maxBytes = 8_192;
const profileExtensions = ['2.5.29.19', '2.5.29.15', '2.5.29.37'];
const subjectAlternativeName = '2.5.29.17';

export interface ReadCertificate {
  readonly certificate: X509Certificate;
  readonly publicJwk: PublicJwk;
  readonly spkiHash: string;
}

export interface CertificateRules {
  readonly code: ErrorCode;
  readonly what: string;
  readonly usage: 'serverAuth' | 'clientAuth';
  readonly nowMs: number;
}

/**
 * Parses a certificate (DER or PEM, at most 8 KiB) and checks what all ours have in common.
 *
 * @throws rules.code with why: malformed, key-type, not-yet-valid, expired, is-ca, usage, extensions.
 */
export async function readCertificate(input: Uint8Array | string, rules: CertificateRules): Promise<ReadCertificate> {
  const refuse = (why: string, problem: string, cause?: unknown): PamError =>
    refusal(rules.code, why, `${rules.what} ${problem}.`, cause);
  if (input.length > maxBytes) throw refuse('malformed', `is larger than ${maxBytes} bytes`);
  const x509 = await loadX509();
  try {
    const parsed = await parse(input);
    const { certificate } = parsed;
    if (!hasExactFraming(new Uint8Array(certificate.rawData))) throw refuse('malformed', 'is not exact DER');
    if (rules.nowMs < certificate.notBefore.getTime())
      throw refuse('not-yet-valid', 'is not valid yet: compare clocks');
    if (rules.nowMs > certificate.notAfter.getTime()) throw refuse('expired', 'has expired');
    const constraints = certificate.getExtension(x509.BasicConstraintsExtension);
    if (constraints === null || constraints.ca) throw refuse('is-ca', 'may act as an authority');
    const usages = certificate.getExtension(x509.KeyUsagesExtension);
    const extended = certificate.getExtension(x509.ExtendedKeyUsageExtension);
    if (
      usages?.usages !== x509.KeyUsageFlags.digitalSignature ||
      extended?.usages.length !== 1 ||
      extended.usages[0] !== x509.ExtendedKeyUsage[rules.usage]
    ) {
      throw refuse('usage', 'is not made for this end of the connection');
    }
    const found = certificate.extensions.map((extension) => extension.type);
    const allowed = new Set([...profileExtensions, subjectAlternativeName]);
    if (new Set(found).size !== found.length || found.some((type) => !allowed.has(type))) {
      throw refuse('extensions', 'carries something this program does not know');
    }
    return parsed;
  } catch (reason) {
    if (reason instanceof PamError) throw reason;
    throw refuse('malformed', 'cannot be read', reason);
  }
}

async function parse(input: Uint8Array | string): Promise<ReadCertificate> {
  const x509 = await loadX509();
  const certificate = new x509.X509Certificate(typeof input === 'string' ? input : copyBytes(input));
  const { kty, crv, x, y } = await exportJWK(
    await certificate.publicKey.export({ name: 'ECDSA', namedCurve: 'P-256' }, ['verify']),
  );
  const publicJwk = publicJwkSchema.parse({ kty, crv, x, y });
  const spkiHash = toBase64url(await sha256(new Uint8Array(certificate.publicKey.rawData)));
  return { certificate, publicJwk, spkiHash };
}

/** base64url SHA-256 of the public key (SPKI, DER) of a certificate in DER or PEM; PAM_BAD_REQUEST when unreadable. */
export async function pinOf(certificate: Uint8Array | string): Promise<string> {
  if (certificate.length > maxBytes) throw new PamError('PAM_BAD_REQUEST', 'This certificate is too large.');
  try {
    return (await parse(certificate)).spkiHash;
  } catch (reason) {
    throw PamError.from(reason, 'PAM_BAD_REQUEST', 'This certificate cannot be read.');
  }
}
