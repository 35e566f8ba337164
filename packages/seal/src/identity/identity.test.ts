import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { instanceIdSchema } from '@sallyport/protocol';
import { editPayload, honestInstallation } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { flipCharacter, refusedWith, throwsOnlyPamError } from '../../test/refusals.ts';
import { newSigningKey, signingKeyFromPem } from '../keys/ec-key.ts';
import { signHello, verifyHello } from './hello.ts';
import { checkInstanceCertificate, newInstanceIdentity } from './instance-identity.ts';
import { pinOf } from './read-certificate.ts';
import { newRouterIdentity, pinOfKey } from './router-identity.ts';
import { checkSessionCertificate, newSessionIdentity } from './session-identity.ts';
import { loadX509 } from './x509-library.ts';

const nowMs = 1_800_000_000_000;
const honest = await honestInstallation(nowMs / 1_000);
const { pool, otherPool, router } = honest;
const instance = await newInstanceIdentity(pool.signKey, pool.uid, nowMs);
const question = { der: instance.certificatePem, gateway: pool.uid, poolPublicJwk: pool.signKey.publicJwk, nowMs };
const check = (changes: Partial<typeof question> | { der: Uint8Array }) =>
  refusedWith(() => checkInstanceCertificate({ ...question, ...changes }));

test('an instance certificate is what Node reads too, lives 24 h and proves its instance', async () => {
  const read = new X509Certificate(instance.certificatePem);
  expect(read.subject).toBe(`CN=${instance.id}`);
  expect(read.ca).toBe(false);
  expect(read.validToDate.getTime() - read.validFromDate.getTime()).toBe(86_700_000);
  expect(read.subjectAltName).toContain(`sallyport:gateway:${pool.uid}`);
  const poolKey = createPublicKey({ key: { ...pool.signKey.publicJwk }, format: 'jwk' });
  expect(read.verify(poolKey)).toBe(true);
  const checked = await checkInstanceCertificate({ ...question, der: new Uint8Array(read.raw) });
  expect(checked).toEqual({ instance: instance.id, publicJwk: instance.key.publicJwk });
});

test('an id of an instance begins with a letter, so that no command line takes it for an option', async () => {
  for (let made = 0; made < 24; made++) {
    expect((await newInstanceIdentity(pool.signKey, pool.uid, nowMs)).id).toMatch(/^[A-Za-z]/);
  }
});

test('an instance keeps its id when its key comes from its state folder', async () => {
  const again = await newInstanceIdentity(pool.signKey, pool.uid, nowMs + 1_000, instance.key);
  expect(again.id).toBe(instance.id);
  expect(again.certificatePem).not.toBe(instance.certificatePem);
});

test('a certificate that is expired, not yet valid, or of another pool is refused, also after it was accepted', async () => {
  expect(await check({})).toBe('accepted');
  expect(await check({ nowMs: nowMs + 86_400_001 })).toBe('PAM_INSTANCE_UNVERIFIED expired');
  expect(await check({ nowMs: nowMs - 300_001 })).toBe('PAM_INSTANCE_UNVERIFIED not-yet-valid');
  expect(await check({ poolPublicJwk: otherPool.signKey.publicJwk })).toBe('PAM_INSTANCE_UNVERIFIED pool');
  expect(await check({ gateway: otherPool.uid })).toBe('PAM_INSTANCE_UNVERIFIED gateway');
  const foreign = await newInstanceIdentity(otherPool.signKey, otherPool.uid, nowMs);
  expect(await check({ der: foreign.certificatePem })).toBe('PAM_INSTANCE_UNVERIFIED pool');
  const claimed = await newInstanceIdentity(otherPool.signKey, pool.uid, nowMs);
  expect(await check({ der: claimed.certificatePem })).toBe('PAM_INSTANCE_UNVERIFIED pool');
});

const x509 = await loadX509();
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
/** Key usages as BIT STRINGs: digitalSignature, keyAgreement, digitalSignature and keyCertSign. */
const keyUsages = {
  digitalSignature: new Uint8Array([3, 2, 7, 0x80]),
  keyAgreement: new Uint8Array([3, 2, 3, 0x08]),
  both: new Uint8Array([3, 2, 2, 0x84]),
} as const;
interface Forgery {
  readonly subject?: string;
  readonly issuer?: string;
  readonly names?: readonly string[];
  readonly ca?: boolean | 'absent';
  readonly keyUsage?: 'digitalSignature' | 'keyAgreement' | 'both';
  readonly extended?: readonly string[];
  readonly days?: number;
  readonly more?: boolean;
}
/** A certificate signed by the honest pool key that differs from an honest one in one thing. */
const forge = async (forgery: Forgery): Promise<string> => {
  const key = instance.key;
  const publicKey = await crypto.subtle.importKey('jwk', { ...key.publicJwk }, algorithm, true, ['verify']);
  const { BasicConstraintsExtension, ExtendedKeyUsage, ExtendedKeyUsageExtension } = x509;
  const names = forgery.names ?? [`sallyport:gateway:${pool.uid}`, `sallyport:instance:${instance.id}`];
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [forgery.subject ?? instance.id] }],
    issuer: [{ CN: [forgery.issuer ?? `pool:${pool.uid}`] }],
    notBefore: new Date(nowMs - 1_000),
    notAfter: new Date(nowMs + (forgery.days ?? 1) * 86_400_000 - 2_000),
    publicKey,
    signingKey: pool.signKey.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      ...(forgery.ca === 'absent' ? [] : [new BasicConstraintsExtension(forgery.ca ?? false, undefined, true)]),
      new x509.Extension('2.5.29.15', true, keyUsages[forgery.keyUsage ?? 'digitalSignature']),
      new ExtendedKeyUsageExtension([...(forgery.extended ?? [ExtendedKeyUsage.serverAuth])], true),
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'url', value }) as const)),
      ...(forgery.more === true ? [new x509.Extension('1.2.3.4', false, new Uint8Array([5, 0]))] : []),
    ],
  });
  return certificate.toString('pem');
};

const forgeries: readonly (readonly [what: string, forgery: Forgery, why: string])[] = [
  ['nothing changed', {}, ''],
  ['CA:true', { ca: true }, 'is-ca'],
  ['no basic constraints', { ca: 'absent' }, 'is-ca'],
  ['keyCertSign', { keyUsage: 'both' }, 'usage'],
  ['no digitalSignature', { keyUsage: 'keyAgreement' }, 'usage'],
  ['clientAuth', { extended: ['1.3.6.1.5.5.7.3.2'] }, 'usage'],
  ['serverAuth and clientAuth', { extended: ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'] }, 'usage'],
  ['a week of life', { days: 7 }, 'life'],
  ['another instance in its subject', { subject: 'x'.repeat(22) }, 'instance'],
  ['another issuer', { issuer: `pool:${otherPool.uid}` }, 'gateway'],
  [
    'another gateway in its names',
    { names: [`sallyport:gateway:${otherPool.uid}`, `sallyport:instance:${instance.id}`] },
    'gateway',
  ],
  ['another instance in its names', { names: [`sallyport:gateway:${pool.uid}`, 'sallyport:instance:x'] }, 'gateway'],
  [
    'one name more',
    { names: [`sallyport:gateway:${pool.uid}`, `sallyport:instance:${instance.id}`, 'https://x'] },
    'gateway',
  ],
  ['one name only', { names: [`sallyport:gateway:${pool.uid}`] }, 'gateway'],
  ['an extension nobody knows', { more: true }, 'extensions'],
];
test.each(forgeries)('[C2] a certificate under the pool key with %s ends in %o %s', async (_what, forgery, why) => {
  expect(await check({ der: await forge(forgery) })).toBe(why === '' ? 'accepted' : `PAM_INSTANCE_UNVERIFIED ${why}`);
});

test('a flipped byte anywhere in a certificate is refused, garbage throws nothing but PamError', async () => {
  const der = new Uint8Array(new X509Certificate(instance.certificatePem).raw);
  for (let at = 0; at < der.length; at += 3) {
    const flipped = der.slice();
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    expect(await check({ der: flipped })).toMatch(/^PAM_INSTANCE_UNVERIFIED /);
  }
  expect(await check({ der: new Uint8Array(9_000) })).toBe('PAM_INSTANCE_UNVERIFIED malformed');
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.string()), (value) =>
      throwsOnlyPamError(() => checkInstanceCertificate({ ...question, der: value })),
    ),
    { numRuns: 100 },
  );
});

test('a session certificate names its key by the thumbprint that requests carry, for 13 h', async () => {
  const session = await newSessionIdentity(nowMs);
  const spki = new X509Certificate(session.certificatePem).publicKey.export({ type: 'spki', format: 'der' });
  expect(session.thumbprint).toBe(createHash('sha256').update(spki).digest('base64url'));
  const ask = (changes: object) =>
    refusedWith(() =>
      checkSessionCertificate({ der: session.certificatePem, cnf: session.thumbprint, nowMs, ...changes }),
    );
  const other = await newSessionIdentity(nowMs);
  expect(await ask({})).toBe('accepted');
  expect(await ask({ der: other.certificatePem })).toBe('PAM_REQUEST_INVALID session-key');
  expect(await ask({ der: instance.certificatePem })).toBe('PAM_REQUEST_INVALID usage');
  expect(await ask({ nowMs: nowMs + 46_800_001 })).toBe('PAM_REQUEST_INVALID expired');
  expect(await ask({ nowMs: nowMs - 400_000 })).toBe('PAM_REQUEST_INVALID not-yet-valid');
  expect(await ask({ der: new Uint8Array([48, 3]) })).toBe('PAM_REQUEST_INVALID malformed');
});

test('a router identity is pinned by its key, which can be read back from its PEM', async () => {
  const made = await newRouterIdentity(['pam.example', '127.0.0.1', '::1'], nowMs);
  expect(await pinOf(made.certificatePem)).toBe(made.pin);
  expect(await pinOfKey(made.key.publicJwk)).toBe(made.pin);
  expect((await signingKeyFromPem(made.privateKeyPem)).id).toBe(made.key.id);
  expect(new X509Certificate(made.certificatePem).subjectAltName).toBe(
    'DNS:pam.example, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
  );
  expect(await refusedWith(() => pinOf('nonsense'))).toBe('PAM_BAD_REQUEST');
  expect(await refusedWith(() => signingKeyFromPem('nonsense'))).toBe('PAM_BAD_REQUEST');
});

const nonce = 'n'.repeat(43);
const hello = { nonce, gateway: pool.uid, instance: instance.id, routerPin: router.pin };
const want = {
  certificate: instance.certificatePem,
  gateway: pool.uid,
  poolPublicJwk: pool.signKey.publicJwk,
  nonce,
  routerPin: router.pin,
  nowMs,
};
const greet = (jws: string, changes: Partial<typeof want> = {}) =>
  refusedWith(() => verifyHello(jws, { ...want, ...changes }));

test('[C2] an instance is admitted by its own key under the pool key, over this challenge to this router', async () => {
  const jws = await signHello(hello, instance.key);
  expect(await verifyHello(jws, want)).toEqual({ instance: instance.id, publicJwk: instance.key.publicJwk });
  expect(await greet(jws, { nonce: 'm'.repeat(43) })).toBe('PAM_INSTANCE_REFUSED nonce');
  expect(await greet(jws, { routerPin: 'p'.repeat(43) })).toBe('PAM_INSTANCE_REFUSED router');
  expect(await greet(jws, { nowMs: nowMs + 90_000_000 })).toBe('PAM_INSTANCE_REFUSED expired');
  const foreign = await newInstanceIdentity(otherPool.signKey, otherPool.uid, nowMs);
  expect(await greet(jws, { certificate: foreign.certificatePem })).toBe('PAM_INSTANCE_REFUSED pool');
  const elsewhere = { gateway: otherPool.uid, poolPublicJwk: otherPool.signKey.publicJwk };
  expect(await greet(jws, { ...elsewhere, certificate: foreign.certificatePem })).toBe('PAM_INSTANCE_REFUSED signer');
  expect(await greet(await signHello(hello, await newSigningKey()))).toBe('PAM_INSTANCE_REFUSED signer');
  const claimed = { ...hello, instance: instanceIdSchema.parse('x'.repeat(22)) };
  expect(await greet(await signHello(claimed, instance.key))).toBe('PAM_INSTANCE_REFUSED instance');
  const gateway = { ...hello, gateway: otherPool.uid };
  expect(await greet(await signHello(gateway, instance.key))).toBe('PAM_INSTANCE_REFUSED gateway');
  expect(await greet(editPayload(jws, { nonce: 'm'.repeat(43) }))).toBe('PAM_INSTANCE_REFUSED signature');
  expect(await greet(flipCharacter(jws, 2))).toBe('PAM_INSTANCE_REFUSED signature');
});
