import { newSigningKey } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';
import { makeCertificate, privatePem, type TlsIdentity } from './make-certificate.ts';
import { pinOf, readCertificate } from './read-certificate.ts';

const lifeMs = 46_800_000;
const backdatedMs = 300_000;

export interface SessionIdentity extends TlsIdentity {
  /** base64url SHA-256 of the SPKI: `cnf` of the requests of this session. */
  readonly thumbprint: string;
}

/** Client side of a session's TLS: a key of its own, self-signed, 13 h. Make it once per tunnel, keep it in memory. */
export async function newSessionIdentity(nowMs: number): Promise<SessionIdentity> {
  const key = await newSigningKey();
  const profile = {
    subject: 'session',
    issuer: 'session',
    names: [],
    usage: 'clientAuth',
    notBeforeMs: nowMs - backdatedMs,
    notAfterMs: nowMs + lifeMs,
  } as const;
  const certificatePem = await makeCertificate(profile, key.publicJwk, key);
  return { certificatePem, privateKeyPem: await privatePem(key), thumbprint: await pinOf(certificatePem) };
}

/**
 * What the instance asks of the client's certificate: the key that the signed request names, in time, for this end.
 * Its signature says nothing (self-signed); TLS proved possession of the key.
 *
 * @throws PAM_REQUEST_INVALID with why: malformed, not-yet-valid, expired, is-ca, usage, extensions, session-key.
 */
export async function checkSessionCertificate(question: {
  readonly der: Uint8Array | string;
  readonly cnf: string;
  readonly nowMs: number;
}): Promise<void> {
  const { spkiHash } = await readCertificate(question.der, {
    code: 'PAM_REQUEST_INVALID',
    what: 'The certificate of the client',
    usage: 'clientAuth',
    nowMs: question.nowMs,
  });
  if (spkiHash !== question.cnf) {
    throw refusal('PAM_REQUEST_INVALID', 'session-key', 'The client does not hold the session key of its request.');
  }
}
