import { applicationUidSchema, deviceIdSchema, itemUidSchema } from '@sallyport/protocol';
import { appendEntry, editHeader, freshUid, honestInstallation } from '@sallyport/testkit';
import fc from 'fast-check';
import { compactDecrypt } from 'jose';
import { expect, test } from 'vitest';
import { flipCharacter, refusedWith, throwsOnlyPamError } from '../../test/refusals.ts';
import { sealUnder } from '../jose/sealed.ts';
import { signStatement } from '../jose/statement.ts';
import { newSigningKey } from '../keys/ec-key.ts';
import { newSymmetricKey } from '../keys/symmetric.ts';
import { bodyMaxBytes, type JsonValue, openPart, sealPart } from './part.ts';
import { peekPlace, type Place } from './place.ts';

const now = 1_800_000_000;
const honest = await honestInstallation(now);
const { app, keys, device, log, pool } = honest;
const place: Place = {
  app,
  uid: itemUidSchema.parse(freshUid()),
  type: 'pamMachine',
  part: 'facts',
  gen: 1,
  rev: 7,
};
const body = { title: 'web1', host: '10.0.0.5', nested: { on: [true, null, 1.5] } };
const sealed = await sealPart(place, body, keys.facts, device, now);
const open = (jwe: string, want: Parameters<typeof openPart>[1] = place, key = keys.facts) =>
  openPart(jwe, want, key, log);

test('what is sealed opens in its place, with its author and time', async () => {
  expect(await open(sealed)).toEqual({ body, place, author: device.id, at: now, proof: null });
  expect(await open(sealed, { ...place, rev: { atLeast: 3 } })).toMatchObject({ place });
  expect(peekPlace(sealed)).toEqual(place);
});

test('any JSON body comes back as it was', async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue({ maxDepth: 4 }), async (value) => {
      const json = JSON.parse(JSON.stringify(value)) as JsonValue;
      expect((await open(await sealPart(place, json, keys.facts, device, now))).body).toEqual(json);
    }),
    { numRuns: 40 },
  );
});

test('the same body sealed twice shares nothing but the header', async () => {
  const [one, two] = [sealed.split('.'), (await sealPart(place, body, keys.facts, device, now)).split('.')];
  expect(one[0]).toBe(two[0]);
  for (const at of [1, 2, 3, 4]) expect(one[at]).not.toBe(two[at]);
});

test.each([
  ['app', freshUid(), 'PAM_SEAL_MISPLACED app'],
  ['uid', freshUid(), 'PAM_SEAL_MISPLACED uid'],
  ['type', 'pamDatabase', 'PAM_SEAL_MISPLACED type'],
  ['part', 'secrets', 'PAM_SEAL_MISPLACED part'],
  ['gen', 2, 'PAM_SEAL_STALE gen'],
  ['rev', 8, 'PAM_SEAL_STALE rev'],
  ['rev', 6, 'PAM_SEAL_MISPLACED rev'],
])('asked for another %s (%s) it is refused: %s', async (name, value, end) => {
  expect(await refusedWith(() => open(sealed, { ...place, [name]: value }))).toBe(end);
});

test('a revision below the least accepted is stale, a later generation is misplaced', async () => {
  expect(await refusedWith(() => open(sealed, { ...place, rev: { atLeast: 8 } }))).toBe('PAM_SEAL_STALE rev');
  const later = editHeader(sealed, { gen: 2 });
  expect(await refusedWith(() => open(later))).toBe('PAM_SEAL_MISPLACED gen');
});

test.each([
  ['alg', 'dir', 'header'],
  ['alg', 'ECDH-ES+A256KW', 'header'],
  ['enc', 'A128GCM', 'header'],
  ['typ', 'sallyport-wrap+jwe', 'header'],
  ['zip', 'DEF', 'header'],
  ['crit', ['zip'], 'header'],
  ['epk', device.publicJwk, 'header'],
  ['note', 'one member more', 'header'],
  ['rev', undefined, 'header'],
  ['rev', '7', 'header'],
  ['rev', 7.5, 'header'],
  ['uid', 'short', 'header'],
])('a header with %s %o is refused: %s', async (name, value, why) => {
  expect(await refusedWith(() => open(editHeader(sealed, { [name]: value })))).toBe(`PAM_SEAL_BROKEN ${why}`);
});

test('a header edited to the wanted place does not open', async () => {
  const want = { ...place, rev: 9 };
  expect(await refusedWith(() => open(editHeader(sealed, { rev: 9 }), want))).toBe('PAM_SEAL_BROKEN key');
});

test.each([1, 2, 3, 4])('a flipped character in segment %i is refused', async (at) => {
  expect(await refusedWith(() => open(flipCharacter(sealed, at)))).toBe('PAM_SEAL_BROKEN key');
});

test('another key, a cut or over-long text are refused', async () => {
  expect(await refusedWith(() => open(sealed, place, newSymmetricKey()))).toBe('PAM_SEAL_BROKEN key');
  expect(await refusedWith(() => open(sealed.slice(0, sealed.lastIndexOf('.'))))).toBe('PAM_SEAL_BROKEN form');
  expect(await refusedWith(() => open('a'.repeat(98_305)))).toBe('PAM_SEAL_BROKEN size');
});

const reseal = async (signed: object, typ: 'sallyport-part+jws' | 'sallyport-log+jws' = 'sallyport-part+jws') =>
  sealUnder(keys.facts, 'sallyport-part+jwe', { ...place }, await signStatement(typ, signed, device));

test.each([
  ['app', freshUid(), 'PAM_SEAL_MISPLACED app'],
  ['uid', freshUid(), 'PAM_SEAL_MISPLACED uid'],
  ['type', 'pamUser', 'PAM_SEAL_MISPLACED type'],
  ['part', 'state', 'PAM_SEAL_MISPLACED part'],
  ['gen', 2, 'PAM_SEAL_MISPLACED gen'],
  ['rev', 6, 'PAM_SEAL_STALE rev'],
  ['at', -1, 'PAM_SEAL_AUTHOR payload'],
  ['more', 1, 'PAM_SEAL_AUTHOR payload'],
])('what the author signed for another %s is refused under a matching header: %s', async (name, value, end) => {
  const jwe = await reseal({ ...place, at: now, body, [name]: value });
  expect(await refusedWith(() => open(jwe))).toBe(end);
});

test('a statement of another kind inside is refused', async () => {
  const jwe = await reseal({ ...place, at: now, body }, 'sallyport-log+jws');
  expect(await refusedWith(() => open(jwe))).toBe('PAM_SEAL_AUTHOR header');
});

test('a re-signed statement with another signature is refused', async () => {
  const key = await crypto.subtle.importKey('raw', new Uint8Array(keys.facts), 'AES-KW', false, ['unwrapKey']);
  const statement = new TextDecoder().decode((await compactDecrypt(sealed, key)).plaintext);
  const jwe = await sealUnder(keys.facts, 'sallyport-part+jwe', { ...place }, flipCharacter(statement, 2));
  expect(await refusedWith(() => open(jwe))).toBe('PAM_SEAL_AUTHOR signature');
});

test('facts and secrets are written by devices with the right to; strangers, pools and the removed are refused', async () => {
  const stranger = await newSigningKey();
  for (const author of [stranger, pool.signKey, honest.person.signKey]) {
    const jwe = await sealPart(place, body, keys.facts, author, now);
    expect(await refusedWith(() => open(jwe))).toBe('PAM_SEAL_AUTHOR signer');
  }
  const gone = { kind: 'device-removed', device: deviceIdSchema.parse(device.id) } as const;
  const after = (await appendEntry([], log, gone, honest.person.signKey, now)).log;
  expect(await refusedWith(() => openPart(sealed, place, keys.facts, after))).toBe('PAM_SEAL_AUTHOR removed');
});

test('a right to write records is no right to write credentials or secrets', async () => {
  const person = { ...honest.person, name: 'ben', signKey: await newSigningKey() };
  const other = await newSigningKey();
  const { newBoxKey } = await import('../keys/ec-key.ts');
  const keysOfBen = { signKey: person.signKey.publicJwk, boxKey: (await newBoxKey()).publicJwk };
  const uid = freshUid() as typeof honest.person.uid;
  let state = (
    await appendEntry(
      [],
      log,
      { kind: 'person', person: { uid, name: 'ben', ...keysOfBen }, rights: ['records'] },
      device,
      now,
    )
  ).log;
  const shown = { id: deviceIdSchema.parse(other.id), key: other.publicJwk, kind: 'cli', label: 'x' } as const;
  state = (await appendEntry([], state, { kind: 'device', person: uid, device: shown }, person.signKey, now)).log;
  const write = async (changes: Partial<Place>) => {
    const there = { ...place, ...changes };
    const jwe = await sealPart(there, body, keys.facts, other, now);
    return refusedWith(() => openPart(jwe, there, keys.facts, state));
  };
  expect(await write({})).toBe('accepted');
  expect(await write({ part: 'state' })).toBe('accepted');
  expect(await write({ type: 'pamUser' })).toBe('PAM_SEAL_AUTHOR right');
  expect(await write({ part: 'secrets' })).toBe('PAM_SEAL_AUTHOR right');
  expect(await write({ type: 'application' })).toBe('PAM_SEAL_AUTHOR right');
  expect(await write({ type: 'gateway' })).toBe('PAM_SEAL_AUTHOR right');
});

test('state is written by a pool of the application while it stands, never by another', async () => {
  const there: Place = { ...place, part: 'state' };
  const jwe = await sealPart(there, { firstSeen: 'x' }, keys.facts, pool.signKey, now);
  expect((await open(jwe, there)).author).toBe(pool.signKey.id);
  const gone = (await appendEntry([], log, { kind: 'gateway-removed', gateway: pool.uid }, device, now)).log;
  expect(await refusedWith(() => openPart(jwe, there, keys.facts, gone))).toBe('PAM_SEAL_AUTHOR signer');
});

test('state of one application is not written by the pool of another', async () => {
  const elsewhere = applicationUidSchema.parse(freshUid());
  const state = (await appendEntry([], log, { kind: 'application', app: elsewhere }, device, now)).log;
  const there: Place = { ...place, app: elsewhere, part: 'state' };
  const jwe = await sealPart(there, {}, keys.facts, pool.signKey, now);
  expect(await refusedWith(() => openPart(jwe, there, keys.facts, state))).toBe('PAM_SEAL_AUTHOR signer');
});

test('the largest body fits an envelope, one byte more is refused before sealing', async () => {
  const largest = 'x'.repeat(bodyMaxBytes - 2);
  const jwe = await sealPart(place, largest, keys.facts, device, now);
  expect(jwe.length).toBeLessThanOrEqual(98_304);
  expect((await open(jwe)).body).toBe(largest);
  expect(await refusedWith(() => sealPart(place, `${largest}x`, keys.facts, device, now))).toBe('PAM_TOO_LARGE');
  expect(await refusedWith(() => sealPart({ ...place, rev: 0 }, '', keys.facts, device, now))).toBe('PAM_BAD_REQUEST');
});

test('garbage, cut and mutated envelopes never throw anything but PamError', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 400 }),
        fc.array(fc.base64String(), { minLength: 5, maxLength: 5 }).map((parts) => parts.join('.')),
        fc.json().map((json) => `${Buffer.from(json).toString('base64url')}.AAAA.AAAA.AAAA.AAAA`),
        fc.nat(sealed.length - 1).map((cut) => sealed.slice(0, cut)),
        fc
          .tuple(fc.nat(sealed.length - 1), fc.string({ maxLength: 3 }))
          .map(([at, text]) => sealed.slice(0, at) + text + sealed.slice(at + 1)),
      ),
      async (text) => throwsOnlyPamError(() => open(text)),
    ),
    { numRuns: 300 },
  );
});
