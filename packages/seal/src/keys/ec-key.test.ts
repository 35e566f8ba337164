import { expect, test } from 'vitest';
import { refusedWith } from '../../test/refusals.ts';
import {
  exportPrivate,
  importBoxKey,
  importSigningKey,
  instanceIdOf,
  newBoxKey,
  newSigningKey,
  type PrivateJwk,
  thumbprint,
} from './ec-key.ts';
import { hkdf, keyWrapKey, newSymmetricKey } from './symmetric.ts';

const signing = await newSigningKey();
const box = await newBoxKey();

test('keys survive export and import under the same id', async () => {
  expect((await importSigningKey(await exportPrivate(signing))).id).toBe(signing.id);
  expect((await importBoxKey(await exportPrivate(box))).id).toBe(box.id);
  expect(await thumbprint(signing.publicJwk)).toBe(signing.id);
  expect(await instanceIdOf(signing.publicJwk)).toBe(signing.id.slice(0, 22));
});

test('a thumbprint is that of RFC 7638, whatever the order of members', async () => {
  const { kty, crv, x, y } = signing.publicJwk;
  expect(await thumbprint({ y, x, crv, kty })).toBe(signing.id);
});

test('a private key with a member missing, added, malformed or of another key is refused', async () => {
  const own = await exportPrivate(signing);
  const other = await exportPrivate(await newSigningKey());
  const { d: _d, ...half } = own;
  const wrong: readonly unknown[] = [
    half,
    { ...own, use: 'sig' },
    { ...own, d: other.d },
    { ...other, d: own.d },
    { ...own, x: other.x },
    { ...own, crv: 'P-384' },
    { ...own, d: 'short' },
    null,
  ];
  for (const jwk of wrong) {
    expect(await refusedWith(() => importSigningKey(jwk as PrivateJwk))).toBe('PAM_BAD_REQUEST');
    expect(await refusedWith(() => importBoxKey(jwk as PrivateJwk))).toBe('PAM_BAD_REQUEST');
  }
});

test('symmetric keys have 256 bits, differ, and derive by purpose and salt', async () => {
  const [one, two] = [newSymmetricKey(), newSymmetricKey()];
  expect(one).toHaveLength(32);
  expect(one).not.toEqual(two);
  expect(await hkdf(one, new Uint8Array(), 'a')).not.toEqual(await hkdf(one, new Uint8Array(), 'b'));
  expect(await hkdf(one, two, 'a')).not.toEqual(await hkdf(one, one, 'a'));
  expect(keyWrapKey(one)).toBe(keyWrapKey(one));
  expect(await refusedWith(() => keyWrapKey(new Uint8Array(16)))).toBe('PAM_INTERNAL');
});
