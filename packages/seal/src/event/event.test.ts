import { editHeader, editPayload, honestInstallation } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { flipCharacter, refusedWith, throwsOnlyPamError } from '../../test/refusals.ts';
import { newSigningKey } from '../keys/ec-key.ts';
import { eventHash, signEvent, verifyEvent } from './actor-event.ts';
import { digestOf } from './digest.ts';
import { signHead, verifyHead } from './router-head.ts';

const actor = await newSigningKey();
const other = await newSigningKey();
const { router } = await honestInstallation(1_800_000_000);
const digest = await digestOf({ b: 1, a: [true, null, 'ü'] });
const event = {
  actor: actor.id,
  seq: 2,
  prev: 'p'.repeat(43),
  at: 1_800_000_000,
  act: 'record.write',
  on: ['u1'],
  digest,
};
const jws = await signEvent(event, actor);
const head = { router: router.pin, start: 3, seq: 41, hash: 'h'.repeat(43), at: 1_800_000_000 };
const signedHead = await signHead(head, router.key);

test('digests do not depend on the order of members and tell different messages apart', async () => {
  expect(await digestOf({ a: [true, null, 'ü'], b: 1 })).toBe(digest);
  expect(await digestOf({ a: [true, null, 'ü'], b: 1, c: undefined })).toBe(digest);
  expect(await digestOf({ a: [null, true, 'ü'], b: 1 })).not.toBe(digest);
  expect(await digestOf({ b: '1', a: [true, null, 'ü'] })).not.toBe(digest);
  let deep: unknown = 1;
  for (let depth = 0; depth < 100; depth++) deep = [deep];
  for (const value of [deep, 1n, Number.NaN, () => 1]) {
    expect(await refusedWith(() => digestOf(value))).toBe('PAM_BAD_REQUEST');
  }
});

test('a canonical digest is the same after a trip through JSON', async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue({ maxDepth: 5 }), async (value) => {
      expect(await digestOf(JSON.parse(JSON.stringify(value)))).toBe(await digestOf(value));
    }),
    { numRuns: 100 },
  );
});

test('[C6] an event is its actor saying this, once, after that; nobody else can say or change it', async () => {
  expect(await verifyEvent(jws, actor.publicJwk)).toEqual(event);
  expect(await eventHash(jws)).toMatch(/^[\w-]{43}$/);
  const verify = (text: string, key = actor.publicJwk) => refusedWith(() => verifyEvent(text, key));
  expect(await verify(jws, other.publicJwk)).toBe('PAM_AUDIT_BROKEN signer');
  expect(await verify(await signEvent(event, other), other.publicJwk)).toBe('PAM_AUDIT_BROKEN actor');
  const flips = { seq: 3, prev: 'q'.repeat(43), at: 1, act: 'record.remove', on: [], digest: 'd'.repeat(43) };
  for (const [name, value] of Object.entries(flips)) {
    expect(await verify(editPayload(jws, { [name]: value }))).toBe('PAM_AUDIT_BROKEN signature');
    expect(await verify(editPayload(jws, { [name]: undefined }))).toBe('PAM_AUDIT_BROKEN payload');
  }
  expect(await verify(editPayload(jws, { actor: other.id }))).toBe('PAM_AUDIT_BROKEN signature');
  expect(await verify(editHeader(jws, { typ: 'sallyport-log+jws' }))).toBe('PAM_AUDIT_BROKEN header');
  expect(await verify(flipCharacter(jws, 2))).toBe('PAM_AUDIT_BROKEN signature');
});

test('[C6] a head is signed by a router key that the log pins, about itself', async () => {
  const verify = (text: string, trusted: Parameters<typeof verifyHead>[1] = [router.pin]) =>
    refusedWith(() => verifyHead(text, trusted));
  expect(await verifyHead(signedHead, [router.pin])).toEqual(head);
  expect(await verifyHead(signedHead, router.key.publicJwk)).toEqual(head);
  expect(await verify(signedHead, ['p'.repeat(43)])).toBe('PAM_AUDIT_BROKEN signer');
  expect(await verify(signedHead, other.publicJwk)).toBe('PAM_AUDIT_BROKEN signer');
  expect(await verify(await signHead(head, other))).toBe('PAM_AUDIT_BROKEN signer');
  expect(await verify(await signHead({ ...head, router: 'r'.repeat(43) }, router.key))).toBe('PAM_AUDIT_BROKEN router');
  for (const [name, value] of Object.entries({ start: 4, seq: 40, hash: 'i'.repeat(43), at: 1 })) {
    expect(await verify(editPayload(signedHead, { [name]: value }))).toBe('PAM_AUDIT_BROKEN signature');
  }
  expect(await verify(editHeader(signedHead, { jwk: other.publicJwk }))).toBe('PAM_AUDIT_BROKEN signature');
  expect(await verify(editHeader(signedHead, { kid: 'x' }))).toBe('PAM_AUDIT_BROKEN header');
  expect(await verify(signedHead.slice(1))).toBe('PAM_AUDIT_BROKEN header');
  expect(await verify('x'.repeat(5_000))).toBe('PAM_AUDIT_BROKEN size');
});

test('garbage never throws anything but PamError', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 200 }), async (text) => {
      const event = throwsOnlyPamError(() => verifyEvent(text, actor.publicJwk));
      return (await event) && throwsOnlyPamError(() => verifyHead(text, [router.pin]));
    }),
    { numRuns: 100 },
  );
});
