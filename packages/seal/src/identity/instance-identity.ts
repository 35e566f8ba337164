import { type GatewayUid, type InstanceId, toBase64url } from '@sallyport/protocol';
import { instanceIdOf, newSigningKey, type PublicJwk, type SigningKey, verificationKey } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';
import { makeCertificate, privatePem, type TlsIdentity } from './make-certificate.ts';
import { readCertificate } from './read-certificate.ts';
import { loadX509 } from './x509-library.ts';

const lifeMs = 86_400_000;
const backdatedMs = 300_000;

export interface InstanceIdentity extends TlsIdentity {
  readonly key: SigningKey;
  readonly id: InstanceId;
}

/**
 * Key and certificate of one running instance: 24 h, backdated 5 minutes for clocks that differ, signed by the pool key.
 *
 * @param key - the key in the instance's state folder; a fresh one when absent.
 */
export async function newInstanceIdentity(
  pool: SigningKey,
  gateway: GatewayUid,
  nowMs: number,
  key?: SigningKey,
): Promise<InstanceIdentity> {
  const own = key ?? (await newInstanceKey());
  const id = await instanceIdOf(own.publicJwk);
  const profile = {
    subject: id,
    issuer: `pool:${gateway}`,
    names: namesOf(gateway, id),
    usage: 'serverAuth',
    notBeforeMs: nowMs - backdatedMs,
    notAfterMs: nowMs + lifeMs,
  } as const;
  const certificatePem = await makeCertificate(profile, own.publicJwk, pool);
  return { key: own, id, certificatePem, privateKeyPem: await privatePem(own) };
}

/** Drawn again until the id begins with a letter: it is typed on command lines, where a dash begins an option. */
async function newInstanceKey(): Promise<SigningKey> {
  for (;;) {
    const key = await newSigningKey();
    if (/^[A-Za-z]/.test(await instanceIdOf(key.publicJwk))) return key;
  }
}

function namesOf(gateway: string, instance: string): readonly { readonly type: 'url'; readonly value: string }[] {
  return [
    { type: 'url', value: `sallyport:gateway:${gateway}` },
    { type: 'url', value: `sallyport:instance:${instance}` },
  ];
}

export interface CertificateQuestion {
  readonly der: Uint8Array | string;
  readonly gateway: GatewayUid;
  /** From the trust log and nowhere else. */
  readonly poolPublicJwk: PublicJwk;
  readonly nowMs: number;
}

interface CheckedCertificate {
  readonly instance: InstanceId;
  readonly publicJwk: PublicJwk;
}

const checkedBefore = new Map<
  string,
  CheckedCertificate & { readonly notBeforeMs: number; readonly notAfterMs: number }
>();
const checkedAtMost = 256;
const checkedNameMaxChars = 16_384;

/**
 * Checks that a certificate is that of an instance of this gateway, in full: no authority store, no chain but this one.
 * One that passed is remembered with its pool key (a client sees the same certificate for each stream), except for
 * its time, which is compared each time.
 *
 * @throws PAM_INSTANCE_UNVERIFIED with why: malformed, not-yet-valid, expired, is-ca, usage, extensions, life, pool
 * (not signed by the pool key), gateway (made for another), instance (the id is not the key's).
 */
export async function checkInstanceCertificate(question: CertificateQuestion): Promise<CheckedCertificate> {
  const { der, gateway, poolPublicJwk, nowMs } = question;
  const name = `${gateway} ${poolPublicJwk.x} ${poolPublicJwk.y} ${typeof der === 'string' ? der : toBase64url(der)}`;
  const known = name.length > checkedNameMaxChars ? undefined : checkedBefore.get(name);
  if (known !== undefined && nowMs >= known.notBeforeMs && nowMs <= known.notAfterMs) {
    return { instance: known.instance, publicJwk: known.publicJwk };
  }
  const checked = await checkInFull(question);
  if (checkedBefore.size >= checkedAtMost) checkedBefore.clear();
  checkedBefore.set(name, checked);
  return { instance: checked.instance, publicJwk: checked.publicJwk };
}

async function checkInFull(question: CertificateQuestion) {
  const refuse = (why: string, problem: string, cause?: unknown) =>
    refusal('PAM_INSTANCE_UNVERIFIED', why, `The certificate of the far end ${problem}.`, cause);
  const { gateway, nowMs } = question;
  const { certificate, publicJwk } = await readCertificate(question.der, {
    code: 'PAM_INSTANCE_UNVERIFIED',
    what: 'The certificate of the far end',
    usage: 'serverAuth',
    nowMs,
  });
  const { notBefore, notAfter } = certificate;
  if (notAfter.getTime() - notBefore.getTime() > lifeMs + backdatedMs) throw refuse('life', 'lives longer than 24 h');
  let signed: boolean;
  try {
    const publicKey = await verificationKey(question.poolPublicJwk);
    signed =
      'hash' in certificate.signatureAlgorithm &&
      certificate.signatureAlgorithm.hash.name === 'SHA-256' &&
      (await certificate.verify({ publicKey, signatureOnly: true }));
  } catch (reason) {
    throw refuse('pool', 'is not signed by the key of this pool', reason);
  }
  if (!signed) throw refuse('pool', 'is not signed by the key of this pool');
  const instance = await instanceIdOf(publicJwk);
  if (certificate.issuer !== `CN=pool:${gateway}`) throw refuse('gateway', 'was issued for another gateway');
  if (certificate.subject !== `CN=${instance}`) throw refuse('instance', 'names another instance than its key');
  const x509 = await loadX509();
  const named = certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? [];
  const wanted = namesOf(gateway, instance);
  if (
    named.length !== wanted.length ||
    named.some((name, at) => name.type !== 'url' || name.value !== wanted[at]?.value)
  ) {
    throw refuse('gateway', 'does not name this gateway and its instance');
  }
  return { instance, publicJwk, notBeforeMs: notBefore.getTime(), notAfterMs: notAfter.getTime() };
}
