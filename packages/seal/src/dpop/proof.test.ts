import { editHeader, editPayload } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { flipCharacter, refusedWith, throwsOnlyPamError } from '../../test/refusals.ts';
import { newSigningKey } from '../keys/ec-key.ts';
import { signProof, verifyProof } from './proof.ts';

const nowSeconds = 1_800_000_000;
const device = await newSigningKey();
const other = await newSigningKey();
const call = { method: 'PUT', url: 'https://pam.example:7443/v1/items/x', nowSeconds, accessToken: 'token' };
const proof = await signProof({ ...call, url: `${call.url}?a=b#c` }, device);
const verify = (jwt: string, changes: Partial<typeof call> | { accessToken: undefined } = {}) => {
  const { accessToken, ...want } = { ...call, ...changes };
  return refusedWith(() => verifyProof(jwt, accessToken === undefined ? want : { ...want, accessToken }));
};

test('a proof names the key that signed it, for one method, address, time and token', async () => {
  expect(await verifyProof(proof, call)).toMatchObject({
    jkt: device.id,
    iat: nowSeconds,
    publicJwk: device.publicJwk,
  });
  expect(await verifyProof(proof, { ...call, url: '/v1/items/x?a=b' })).toMatchObject({ jkt: device.id });
  expect(await verify(proof, { method: 'GET' })).toBe('PAM_PROOF_INVALID method');
  expect(await verify(proof, { url: 'https://evil.example/v1/items/x' })).toBe('PAM_PROOF_INVALID url');
  expect(await verify(proof, { url: '/v1/items/y' })).toBe('PAM_PROOF_INVALID url');
  expect(await verify(proof, { url: 'nonsense' })).toBe('PAM_PROOF_INVALID url');
  expect(await verify(proof, { nowSeconds: nowSeconds + 61 })).toBe('PAM_PROOF_INVALID stale');
  expect(await verify(proof, { nowSeconds: nowSeconds - 61 })).toBe('PAM_PROOF_INVALID stale');
  expect(await verify(proof, { accessToken: 'another' })).toBe('PAM_PROOF_INVALID token');
  expect(await verify(proof, { accessToken: undefined })).toBe('PAM_PROOF_INVALID token');
});

test('each member changed after signing is refused', async () => {
  const flips = {
    jti: 'j'.repeat(22),
    htm: 'GET',
    htu: 'https://evil.example/',
    iat: nowSeconds - 1,
    ath: 'a'.repeat(43),
  };
  for (const [name, value] of Object.entries(flips)) {
    expect(await verify(editPayload(proof, { [name]: value }))).toBe('PAM_PROOF_INVALID signature');
    const end = name === 'ath' ? 'signature' : 'payload';
    expect(await verify(editPayload(proof, { [name]: undefined }))).toBe(`PAM_PROOF_INVALID ${end}`);
  }
  expect(await verify(editPayload(proof, { more: 1 }))).toBe('PAM_PROOF_INVALID payload');
  expect(await verify(editHeader(proof, { jwk: other.publicJwk }))).toBe('PAM_PROOF_INVALID signature');
  expect(await verify(editHeader(proof, { jwk: { ...device.publicJwk, d: 'x'.repeat(43) } }))).toBe(
    'PAM_PROOF_INVALID header',
  );
  expect(await verify(editHeader(proof, { alg: 'none' }))).toBe('PAM_PROOF_INVALID header');
  expect(await verify(editHeader(proof, { typ: 'JWT' }))).toBe('PAM_PROOF_INVALID header');
  expect(await verify(flipCharacter(proof, 2))).toBe('PAM_PROOF_INVALID signature');
  expect(await verify(proof.slice(0, -1))).toBe('PAM_PROOF_INVALID form');
  expect(await verify('x'.repeat(4_097))).toBe('PAM_PROOF_INVALID size');
});

test('a point that is not on the curve is refused', async () => {
  const jwk = { ...device.publicJwk, y: other.publicJwk.y };
  expect(await verify(editHeader(proof, { jwk }))).toBe('PAM_PROOF_INVALID signature');
});

test('garbage never throws anything but PamError', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 200 }),
        fc.nat(proof.length - 1).map((cut) => proof.slice(0, cut)),
        fc
          .tuple(fc.nat(proof.length - 1), fc.string({ maxLength: 3 }))
          .map(([at, text]) => proof.slice(0, at) + text + proof.slice(at + 1)),
      ),
      (text) => throwsOnlyPamError(() => verifyProof(text, call)),
    ),
    { numRuns: 150 },
  );
});
