import { appendEntry, editHeader, freshUid, honestInstallation } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { flipCharacter, refusedWith, throwsOnlyPamError } from '../../test/refusals.ts';
import { sealFor } from '../jose/sealed.ts';
import { signStatement } from '../jose/statement.ts';
import { newBoxKey, newSigningKey } from '../keys/ec-key.ts';
import { newSymmetricKey } from '../keys/symmetric.ts';
import { openFromBox, sealToBox } from './box.ts';
import { unwrapKey, wrapKey } from './wrap.ts';

const now = 1_800_000_000;
const honest = await honestInstallation(now);
const { app, keys, device, log, pool, recoveryKey } = honest;
const place = { app, part: 'facts', gen: 1 } as const;
const wrap = await wrapKey(place, keys.facts, pool.boxKey.publicJwk, device, now);
const unwrap = (jwe: string, want: Parameters<typeof unwrapKey>[1] = place, box = pool.boxKey, state = log) =>
  refusedWith(() => unwrapKey(jwe, want, box, state));

test('a wrapped key comes back for its recipient, for pools and the recovery key alike', async () => {
  expect(await unwrapKey(wrap, place, pool.boxKey, log)).toEqual(keys.facts);
  const spare = await wrapKey({ ...place, part: 'recordings' }, keys.recordings, recoveryKey.publicJwk, device, now);
  expect(await unwrapKey(spare, { ...place, part: 'recordings' }, recoveryKey, log)).toEqual(keys.recordings);
});

test.each([
  ['app', freshUid(), 'place'],
  ['part', 'secrets', 'place'],
  ['gen', 2, 'place'],
  ['to', 'x'.repeat(43), 'place'],
  ['to', undefined, 'header'],
  ['alg', 'A256KW', 'header'],
  ['enc', 'A128GCM', 'header'],
  ['typ', 'sallyport-box+jwe', 'header'],
  ['zip', 'DEF', 'header'],
  ['apu', 'AAAA', 'header'],
  ['epk', undefined, 'header'],
  ['epk', device.publicJwk, 'key'],
])('a header with %s %o is refused: %s', async (name, value, why) => {
  expect(await unwrap(editHeader(wrap, { [name]: value }))).toBe(`PAM_WRAP_INVALID ${why}`);
});

test.each([1, 2, 3, 4])('a flipped character in segment %i is refused', async (at) => {
  expect(await unwrap(flipCharacter(wrap, at))).toBe('PAM_WRAP_INVALID key');
});

test('another recipient, part or generation is refused', async () => {
  expect(await unwrap(wrap, place, await newBoxKey())).toBe('PAM_WRAP_INVALID place');
  expect(await unwrap(wrap, { ...place, part: 'secrets' })).toBe('PAM_WRAP_INVALID place');
  const next = await wrapKey({ ...place, gen: 2 }, keys.facts, pool.boxKey.publicJwk, device, now);
  expect(await unwrap(next, { ...place, gen: 2 })).toBe('PAM_WRAP_INVALID generation');
});

test.each([
  ['app', freshUid(), 'place'],
  ['part', 'secrets', 'place'],
  ['gen', 9, 'place'],
  ['to', 'x'.repeat(43), 'place'],
  ['key', 'short', 'payload'],
  ['key', `${'A'.repeat(42)}B`, 'payload'],
  ['more', 1, 'payload'],
])('a grant inside that names another %s (%o) is refused: %s', async (name, value, why) => {
  const header = { ...place, to: pool.boxKey.id };
  const grant = { ...header, at: now, key: Buffer.from(keys.facts).toString('base64url'), [name]: value };
  const statement = await signStatement('sallyport-wrap+jws', grant, device);
  const jwe = await sealFor(pool.boxKey.publicJwk, 'sallyport-wrap+jwe', header, statement);
  expect(await unwrap(jwe)).toBe(`PAM_WRAP_INVALID ${why}`);
});

test('[C2] a key of the router own is refused whoever is said to have granted it', async () => {
  const stranger = await newSigningKey();
  const own = newSymmetricKey();
  expect(await unwrap(await wrapKey(place, own, pool.boxKey.publicJwk, stranger, now))).toBe('PAM_WRAP_INVALID signer');
  expect(await unwrap(await wrapKey(place, own, pool.boxKey.publicJwk, pool.signKey, now))).toBe(
    'PAM_WRAP_INVALID signer',
  );
  expect(await unwrap(await wrapKey(place, own, pool.boxKey.publicJwk, device, now))).toBe(
    'PAM_WRAP_INVALID commitment',
  );
  const secret = await wrapKey(place, keys.secrets, pool.boxKey.publicJwk, device, now);
  expect(await unwrap(secret)).toBe('PAM_WRAP_INVALID commitment');
});

test('a granter who was removed and an application that is gone end their wraps', async () => {
  const { id } = [...log.devices.values()][0] ?? expect.unreachable();
  const removed = await appendEntry([], log, { kind: 'device-removed', device: id }, honest.person.signKey, now);
  expect(await unwrap(wrap, place, pool.boxKey, removed.log)).toBe('PAM_WRAP_INVALID right');
});

test('a value sealed to a box opens for its purpose and recipient only', async () => {
  const sealed = await sealToBox('options', { host: 'db.internal', port: 5432 }, pool.boxKey.publicJwk);
  expect(await openFromBox('options', sealed, pool.boxKey)).toEqual({ host: 'db.internal', port: 5432 });
  const open = (purpose: string, jwe: string, box = pool.boxKey) => refusedWith(() => openFromBox(purpose, jwe, box));
  expect(await open('other', sealed)).toBe('PAM_SEAL_BROKEN header');
  expect(await open('options', sealed, honest.otherPool.boxKey)).toBe('PAM_SEAL_BROKEN header');
  expect(await open('options', flipCharacter(sealed, 3))).toBe('PAM_SEAL_BROKEN key');
  expect(await open('options', editHeader(sealed, { zip: 'DEF' }))).toBe('PAM_SEAL_BROKEN header');
  expect(await open('options', wrap)).toBe('PAM_SEAL_BROKEN header');
});

test('garbage and mutated wraps never throw anything but PamError', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.nat(wrap.length - 1).map((cut) => wrap.slice(0, cut)),
        fc
          .tuple(fc.nat(wrap.length - 1), fc.string({ maxLength: 3 }))
          .map(([at, text]) => wrap.slice(0, at) + text + wrap.slice(at + 1)),
      ),
      (text) => throwsOnlyPamError(() => unwrapKey(text, place, pool.boxKey, log)),
    ),
    { numRuns: 200 },
  );
});
