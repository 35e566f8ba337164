import { deviceIdSchema, itemUidSchema, sessionIdSchema, streamIdSchema } from '@sallyport/protocol';
import { appendEntry, editHeader, editPayload, freshUid, honestInstallation } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { flipCharacter, refusedWith, throwsOnlyPamError } from '../../test/refusals.ts';
import { openFromBox, sealToBox } from '../envelope/box.ts';
import { newSigningKey } from '../keys/ec-key.ts';
import { foldLog } from '../log/fold-log.ts';
import { createLog } from '../log/state.ts';
import { peekRequest, requestHash, type SessionRequest, signRequest, verifyRequest } from './session-request.ts';

const now = 1_800_000_000;
const honest = await honestInstallation(now);
const { device, pool, otherPool, log, machine, otherMachine, configuration } = honest;
const claims: SessionRequest = {
  iss: deviceIdSchema.parse(device.id),
  aud: `gateway:${pool.uid}`,
  jti: 'j'.repeat(22),
  iat: now,
  exp: now + 60,
  until: now + 43_200,
  session: sessionIdSchema.parse(freshUid()),
  stream: streamIdSchema.parse(freshUid()),
  resource: machine.uid,
  revs: { [machine.uid]: 2, [configuration.uid]: 1 },
  workload: 'tunnel',
  head: log.head,
  cnf: 'c'.repeat(43),
  sealed: await sealToBox('options', { host: '10.0.0.9', port: 22 }, pool.boxKey.publicJwk),
};
const jwt = await signRequest(claims, device);
const want = { gateway: pool.uid, log, nowSeconds: now + 1 };
const verify = (text: string, changes: Partial<typeof want> = {}) =>
  refusedWith(() => verifyRequest(text, { ...want, ...changes }));
const signed = async (changes: Partial<Record<keyof SessionRequest, unknown>>, key = device) =>
  verify(await signRequest({ ...claims, ...changes } as SessionRequest, key));

test('an honest request verifies and its sealed options open for the pool', async () => {
  const verified = await verifyRequest(jwt, want);
  expect(verified).toEqual(claims);
  expect(peekRequest(jwt)).toEqual(claims);
  expect(await openFromBox('options', verified.sealed ?? '', pool.boxKey)).toEqual({ host: '10.0.0.9', port: 22 });
  expect(await requestHash(jwt)).toMatch(/^[\w-]{43}$/);
});

const flips: Readonly<Record<keyof SessionRequest, unknown>> = {
  iss: 'i'.repeat(43),
  aud: `gateway:${otherPool.uid}`,
  jti: 'k'.repeat(22),
  iat: now - 1,
  exp: now + 61,
  until: now + 43_199,
  session: freshUid(),
  stream: freshUid(),
  resource: otherMachine.uid,
  revs: { [machine.uid]: 1, [configuration.uid]: 1 },
  workload: 'shell',
  head: { ...log.head, n: log.head.n - 1 },
  cnf: 'd'.repeat(43),
  sealed: 'x.y.z',
};
test.each(Object.entries(flips))('[C4] the claim %s changed to %o after signing is refused', async (name, value) => {
  const why = name === 'workload' ? 'payload' : 'signature';
  expect(await verify(editPayload(jwt, { [name]: value }))).toBe(`PAM_REQUEST_INVALID ${why}`);
});

test('the table of flips covers every claim, a claim left out or added is refused too', async () => {
  expect(Object.keys(flips).sort()).toEqual(Object.keys(claims).sort());
  for (const name of Object.keys(claims).filter((claim) => claim !== 'sealed')) {
    expect(await verify(editPayload(jwt, { [name]: undefined }))).toBe('PAM_REQUEST_INVALID payload');
  }
  expect(await verify(editPayload(jwt, { sealed: undefined }))).toBe('PAM_REQUEST_INVALID signature');
  expect(await verify(editPayload(jwt, { admin: true }))).toBe('PAM_REQUEST_INVALID payload');
});

test.each([
  ['alg', 'none', 'header'],
  ['alg', 'HS256', 'header'],
  ['typ', 'JWT', 'header'],
  ['kid', 'k'.repeat(43), 'signer'],
  ['jwk', device.publicJwk, 'header'],
])('the header %s changed to %o is refused: %s', async (name, value, why) => {
  expect(await verify(editHeader(jwt, { [name]: value }))).toBe(`PAM_REQUEST_INVALID ${why}`);
});

test('a request is good for 60 s and 5 s of clock difference, at its own gateway, for at most 12 h', async () => {
  expect(await verify(jwt, { nowSeconds: now - 5 })).toBe('accepted');
  expect(await verify(jwt, { nowSeconds: now - 6 })).toBe('PAM_REQUEST_INVALID early');
  expect(await verify(jwt, { nowSeconds: now + 65 })).toBe('accepted');
  expect(await verify(jwt, { nowSeconds: now + 66 })).toBe('PAM_REQUEST_INVALID expired');
  expect(await verify(jwt, { gateway: otherPool.uid })).toBe('PAM_REQUEST_INVALID audience');
  expect(await signed({ exp: now + 600 })).toBe('PAM_REQUEST_INVALID life');
  expect(await signed({ until: now + 43_201 })).toBe('PAM_REQUEST_INVALID until');
  expect(await signed({ until: now })).toBe('PAM_REQUEST_INVALID until');
  expect(await signed({ revs: { [configuration.uid]: 1 } })).toBe('PAM_REQUEST_INVALID revs');
  expect(await signed({ iss: 'i'.repeat(43) })).toBe('PAM_REQUEST_INVALID issuer');
  expect(await refusedWith(() => signRequest({ ...claims, revs: {} }, device))).toBe('PAM_BAD_REQUEST');
});

test('[C3] only a device of the log that may connect can make an instance act', async () => {
  expect(await signed({}, await newSigningKey())).toBe('PAM_REQUEST_INVALID signer');
  expect(await signed({}, honest.person.signKey)).toBe('PAM_REQUEST_INVALID signer');
  expect(await signed({}, pool.signKey)).toBe('PAM_REQUEST_INVALID signer');
  const gone = { kind: 'device-removed', device: claims.iss } as const;
  const after = (await appendEntry([], log, gone, honest.person.signKey, now)).log;
  expect(await verify(jwt, { log: after })).toBe('PAM_REQUEST_INVALID right');
});

test('a request of a device that is too new for this log says behind, not unknown', async () => {
  const phone = await newSigningKey();
  const shown = { id: deviceIdSchema.parse(phone.id), key: phone.publicJwk, kind: 'cli', label: 'phone' } as const;
  const body = { kind: 'device', person: honest.person.uid, device: shown } as const;
  const newer = await appendEntry(honest.entries, log, body, honest.person.signKey, now);
  const request = await signRequest({ ...claims, iss: shown.id, head: newer.log.head }, phone);
  expect(await verify(request)).toBe('PAM_TRUST_BEHIND head');
  expect(await verify(request, { log: newer.log })).toBe('accepted');
});

test('[L3] a machine shown a shorter past finds out when a client that knows more speaks to it', async () => {
  const short = await foldLog(createLog(honest.anchor), honest.entries.slice(0, 5));
  expect(await verify(jwt, { log: short })).toBe('PAM_TRUST_BEHIND head');
});

test('a flipped, cut or over-long request is refused, and garbage throws nothing but PamError', async () => {
  for (const at of [0, 1, 2]) expect(await verify(flipCharacter(jwt, at))).toMatch(/^PAM_REQUEST_INVALID /);
  expect(await verify(jwt.slice(0, -1))).toBe('PAM_REQUEST_INVALID form');
  expect(await verify('x'.repeat(16_385))).toBe('PAM_REQUEST_INVALID size');
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.json().map((json) => `e30.${Buffer.from(json).toString('base64url')}.${'A'.repeat(86)}`),
        fc.nat(jwt.length - 1).map((cut) => jwt.slice(0, cut)),
        fc
          .tuple(fc.nat(jwt.length - 1), fc.string({ maxLength: 3 }))
          .map(([at, text]) => jwt.slice(0, at) + text + jwt.slice(at + 1)),
      ),
      (text) => throwsOnlyPamError(() => verifyRequest(text, want)),
    ),
    { numRuns: 200 },
  );
});

test('an item uid that is no UID cannot be a revision name', async () => {
  expect(itemUidSchema.safeParse('__proto__').success).toBe(false);
  expect(await verify(editPayload(jwt, { revs: { constructor: 1 } }))).toBe('PAM_REQUEST_INVALID payload');
});
