import { applicationUidSchema, deviceIdSchema, gatewayUidSchema, personUidSchema } from '@sallyport/protocol';
import { appendEntry, editHeader, editPayload, freshUid, honestInstallation } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { flipCharacter, refusedWith, throwsOnlyPamError } from '../../test/refusals.ts';
import { newBoxKey, newSigningKey } from '../keys/ec-key.ts';
import { entryHash, type LogEntryBody, peekEntry } from './entry.ts';
import { foldLog, signEntry } from './fold-log.ts';
import { checkFloor, checkHead, createLog } from './state.ts';

const now = 1_800_000_000;
const honest = await honestInstallation(now);
const { anchor, entries, log, device, person, app, pool } = honest;
const stranger = await newSigningKey();
const strangerBox = await newBoxKey();
const lastEntry = entries.at(-1) ?? '';
const beforeLast = await foldLog(createLog(anchor), entries.slice(0, -1));

const generation = (gen: number): LogEntryBody => ({
  kind: 'generation',
  app,
  gen,
  commitments: { facts: 'a'.repeat(43), secrets: 'b'.repeat(43), recordings: 'c'.repeat(43) },
});
const gatewayBody = async (uid = gatewayUidSchema.parse(freshUid())): Promise<LogEntryBody> => ({
  kind: 'gateway',
  gateway: uid,
  app,
  signKey: (await newSigningKey()).publicJwk,
  boxKey: (await newBoxKey()).publicJwk,
});
const deviceBody = async (): Promise<Extract<LogEntryBody, { kind: 'device' }>> => {
  const key = await newSigningKey();
  return {
    kind: 'device',
    person: person.uid,
    device: { id: deviceIdSchema.parse(key.id), key: key.publicJwk, kind: 'cli', label: 'desk' },
  };
};
const fold = async (body: LogEntryBody, signer = device) => foldLog(log, [await signEntry(log, body, signer, now)]);

test('a log folds at once and entry by entry to the same state, and again over what is already known', async () => {
  const again = await foldLog(log, entries);
  expect(again.head).toEqual(log.head);
  expect([...again.gateways]).toEqual([...log.gateways]);
  expect(log.head).toEqual({ n: entries.length - 1, hash: await entryHash(lastEntry) });
  expect(log.personOf(device.id)?.uid).toBe(person.uid);
  expect(log.apps.get(app)?.currentGen).toBe(1);
  expect(log.gateways.get(pool.uid)?.boxKeyId).toBe(pool.boxKey.id);
  expect(log.routerPins).toEqual([honest.router.pin]);
  expect(log.recoveryKey).toEqual(honest.recoveryKey.publicJwk);
});

test('folding never changes the state it starts from, also when it fails half way', async () => {
  const before = structuredClone({ hashes: log.hashes, apps: log.apps, gateways: log.gateways, devices: log.devices });
  const good = await signEntry(log, generation(2), device, now);
  await refusedWith(() => foldLog(log, [good, good.slice(0, -4)]));
  await foldLog(log, [good]);
  expect({ hashes: log.hashes, apps: log.apps, gateways: log.gateways, devices: log.devices }).toEqual(before);
});

test('every right is held by the first person and none by a stranger or a removed device', async () => {
  expect(log.grants(device.id, 'people') && log.grants(device.id, 'connect')).toBe(true);
  expect(log.grants(stranger.id, 'connect')).toBe(false);
  const removed = await fold({ kind: 'device-removed', device: deviceIdSchema.parse(device.id) }, person.signKey);
  expect(removed.grants(device.id, 'connect')).toBe(false);
  const after = await signEntry(
    removed,
    { kind: 'application', app: applicationUidSchema.parse(freshUid()) },
    device,
    now,
  );
  expect(await refusedWith(() => foldLog(removed, [after]))).toBe('PAM_TRUST_ENTRY_INVALID signer');
});

test('an application and a gateway can be removed once, the application after its gateways, and never come back', async () => {
  let state = log;
  const step = async (body: LogEntryBody) => {
    state = (await appendEntry([], state, body, device, now)).log;
  };
  const refused = (body: LogEntryBody) => refusedWith(() => step(body));
  expect(await refused({ kind: 'app-removed', app })).toBe('PAM_TRUST_ENTRY_INVALID order');
  await step({ kind: 'gateway-removed', gateway: pool.uid });
  expect(await refused({ kind: 'gateway-removed', gateway: pool.uid })).toBe('PAM_TRUST_ENTRY_INVALID order');
  expect(await refused(await gatewayBody(pool.uid))).toBe('PAM_TRUST_ENTRY_INVALID order');
  await step({ kind: 'gateway-removed', gateway: honest.otherPool.uid });
  await step({ kind: 'app-removed', app });
  expect(await refused({ kind: 'application', app })).toBe('PAM_TRUST_ENTRY_INVALID order');
  expect(await refused(generation(2))).toBe('PAM_TRUST_ENTRY_INVALID order');
  expect(await refused(await gatewayBody())).toBe('PAM_TRUST_ENTRY_INVALID order');
});

test('router pins are those of the last entry that names them', async () => {
  const pins = ['p'.repeat(43), honest.router.pin];
  expect((await fold({ kind: 'router-pin', pins })).routerPins).toEqual(pins);
});

test('a person signed in by somebody with the right "people" has only the rights given', async () => {
  const keys = { signKey: stranger.publicJwk, boxKey: strangerBox.publicJwk };
  const second = { uid: personUidSchema.parse(freshUid()), name: 'ben', ...keys };
  let state = await fold({ kind: 'person', person: second, rights: ['connect'] });
  const phone = await newSigningKey();
  const shown = { id: deviceIdSchema.parse(phone.id), key: phone.publicJwk, kind: 'cli', label: 'x' } as const;
  state = (await appendEntry([], state, { kind: 'device', person: second.uid, device: shown }, stranger, now)).log;
  expect(state.grants(phone.id, 'connect')).toBe(true);
  expect(await refusedWith(() => appendEntry([], state, generation(2), phone, now))).toBe(
    'PAM_TRUST_ENTRY_INVALID right',
  );
});

const mistakes: readonly (readonly [what: string, end: string, act: () => unknown])[] = [
  ['an entry of a stranger', 'signer', async () => fold(generation(2), stranger)],
  ['an entry of the person itself where a device must sign', 'signer', async () => fold(generation(2), person.signKey)],
  ['a device signed by another device', 'signer', async () => fold(await deviceBody(), device)],
  [
    'a device of an unknown person',
    'signer',
    async () => fold({ ...(await deviceBody()), person: personUidSchema.parse(freshUid()) }, person.signKey),
  ],
  [
    'a device under a wrong id',
    'key',
    async () => {
      const body = await deviceBody();
      return fold({ ...body, device: { ...body.device, id: deviceIdSchema.parse(stranger.id) } }, person.signKey);
    },
  ],
  [
    'a device that is there already',
    'key',
    () => {
      const same = { id: deviceIdSchema.parse(device.id), key: device.publicJwk, kind: 'cli', label: 'x' } as const;
      return fold({ kind: 'device', person: person.uid, device: same }, person.signKey);
    },
  ],
  [
    'a pool key used twice',
    'key',
    async () => fold({ ...(await gatewayBody()), signKey: pool.signKey.publicJwk } as LogEntryBody),
  ],
  [
    'one key for both roles of a pool',
    'key',
    () =>
      fold({
        kind: 'gateway',
        gateway: gatewayUidSchema.parse(freshUid()),
        app,
        signKey: stranger.publicJwk,
        boxKey: stranger.publicJwk,
      }),
  ],
  ['an application twice', 'order', () => fold({ kind: 'application', app })],
  [
    'a generation of an unknown application',
    'order',
    () => fold({ ...generation(1), app: applicationUidSchema.parse(freshUid()) } as LogEntryBody),
  ],
  ['a generation again', 'order', () => fold(generation(1))],
  ['a generation that skips one', 'order', () => fold(generation(3))],
  [
    'a gateway of an unknown application',
    'order',
    async () => fold({ ...(await gatewayBody()), app: applicationUidSchema.parse(freshUid()) } as LogEntryBody),
  ],
  [
    'the removal of an unknown device',
    'order',
    () => fold({ kind: 'device-removed', device: deviceIdSchema.parse(stranger.id) }),
  ],
  [
    'a person under a name in use',
    'order',
    () =>
      fold({
        kind: 'person',
        person: {
          uid: personUidSchema.parse(freshUid()),
          name: 'anna',
          signKey: stranger.publicJwk,
          boxKey: strangerBox.publicJwk,
        },
        rights: [],
      }),
  ],
  [
    'a second genesis',
    'order',
    () =>
      fold(
        {
          kind: 'genesis',
          installation: freshUid(),
          person: {
            uid: personUidSchema.parse(freshUid()),
            name: 'eve',
            signKey: stranger.publicJwk,
            boxKey: strangerBox.publicJwk,
          },
          recoveryKey: honest.recoveryKey.publicJwk,
          routerPins: [honest.router.pin],
        },
        stranger,
      ),
  ],
];

test.each(mistakes)('the log refuses %s (%s)', async (_what, why, act) => {
  expect(await refusedWith(act)).toBe(`PAM_TRUST_ENTRY_INVALID ${why}`);
});

const foldLast = (entry: string) => refusedWith(() => foldLog(beforeLast, [entry]));

test.each([
  ['v', 2, 'PAM_TRUST_ENTRY_INVALID kind'],
  ['kind', 'approver', 'PAM_TRUST_ENTRY_INVALID kind'],
  ['kind', 'gateway-removed', 'PAM_TRUST_ENTRY_INVALID payload'],
  ['n', entries.length, 'PAM_TRUST_ENTRY_INVALID missing'],
  ['n', 1, 'PAM_TRUST_FORKED entry'],
  ['n', -1, 'PAM_TRUST_ENTRY_INVALID payload'],
  ['prev', 'x'.repeat(43), 'PAM_TRUST_FORKED prev'],
  ['at', now + 1, 'PAM_TRUST_ENTRY_INVALID signature'],
  ['gateway', freshUid(), 'PAM_TRUST_ENTRY_INVALID signature'],
  ['app', freshUid(), 'PAM_TRUST_ENTRY_INVALID order'],
  ['signKey', stranger.publicJwk, 'PAM_TRUST_ENTRY_INVALID signature'],
  ['boxKey', strangerBox.publicJwk, 'PAM_TRUST_ENTRY_INVALID signature'],
  ['extra', 1, 'PAM_TRUST_ENTRY_INVALID payload'],
])('changing %s of an entry to %o is refused: %s', async (name, value, end) => {
  expect(await foldLast(editPayload(lastEntry, { [name]: value }))).toBe(end);
});

test.each([
  ['alg', 'none', 'header'],
  ['alg', 'HS256', 'header'],
  ['typ', 'sallyport-part+jws', 'header'],
  ['kid', 'x'.repeat(43), 'signer'],
  ['crit', ['b64'], 'header'],
  ['jwk', stranger.publicJwk, 'header'],
])('a header with %s %o is refused: %s', async (name, value, why) => {
  expect(await foldLast(editHeader(lastEntry, { [name]: value }))).toBe(`PAM_TRUST_ENTRY_INVALID ${why}`);
});

test('a flipped, padded, cut or over-long entry is refused', async () => {
  expect(await foldLast(flipCharacter(lastEntry, 2))).toBe('PAM_TRUST_ENTRY_INVALID signature');
  expect(await foldLast(`${lastEntry}=`)).toBe('PAM_TRUST_ENTRY_INVALID form');
  expect(await foldLast(lastEntry.slice(0, -1))).toBe('PAM_TRUST_ENTRY_INVALID form');
  expect(await foldLast('a'.repeat(16_385))).toBe('PAM_TRUST_ENTRY_INVALID size');
  expect(await refusedWith(() => foldLog(createLog(''), entries))).toBe('PAM_TRUST_ANCHOR anchor');
});

test('a signature spelled with other unused bits is not the same entry, and is refused', async () => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const respelled = lastEntry.slice(0, -1) + alphabet.charAt(alphabet.indexOf(lastEntry.slice(-1)) + 1);
  expect(await foldLast(respelled)).toBe('PAM_TRUST_ENTRY_INVALID form');
});

test('floors and heads: below is fine, above is shortened or behind, another entry is a fork', async () => {
  expect(() => checkFloor(log, { n: 2, hash: log.hashes[2] ?? '' })).not.toThrow();
  expect(() => checkHead(log, log.head)).not.toThrow();
  const beyond = { n: log.head.n + 1, hash: 'z'.repeat(43) };
  expect(await refusedWith(() => checkFloor(log, beyond))).toBe('PAM_TRUST_SHORTENED floor');
  expect(await refusedWith(() => checkHead(log, beyond))).toBe('PAM_TRUST_BEHIND head');
  expect(await refusedWith(() => checkFloor(log, { n: 1, hash: 'z'.repeat(43) }))).toBe('PAM_TRUST_FORKED floor');
  expect(await refusedWith(() => checkHead(log, { n: 1, hash: 'z'.repeat(43) }))).toBe('PAM_TRUST_FORKED head');
});

test('an entry can be shown without being verified, and garbage cannot', async () => {
  expect(peekEntry(lastEntry)).toMatchObject({ n: entries.length - 1, kind: 'gateway', kid: device.id, at: now });
  expect(await refusedWith(() => peekEntry('x.y.z'))).toBe('PAM_TRUST_ENTRY_INVALID form');
});

test('garbage, cut and mutated entries never throw anything but PamError', async () => {
  const mutated = fc.tuple(fc.nat(lastEntry.length - 1), fc.string({ maxLength: 4 }));
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 400 }),
        fc.tuple(fc.base64String(), fc.base64String(), fc.base64String()).map((parts) => parts.join('.')),
        fc.nat(lastEntry.length - 1).map((cut) => lastEntry.slice(0, cut)),
        mutated.map(([at, text]) => lastEntry.slice(0, at) + text + lastEntry.slice(at + 1)),
      ),
      async (text) => text === lastEntry || (await throwsOnlyPamError(() => foldLog(beforeLast, [text]))),
    ),
    { numRuns: 300 },
  );
});

const rekeyBody = async (gateway = pool.uid): Promise<Extract<LogEntryBody, { kind: 'gateway-rekeyed' }>> => ({
  kind: 'gateway-rekeyed',
  gateway,
  signKey: (await newSigningKey()).publicJwk,
  boxKey: (await newBoxKey()).publicJwk,
});

test('a rekey replaces both keys of a pool, and keeps its name and application', async () => {
  const body = await rekeyBody();
  const after = (await fold(body)).gateways.get(pool.uid);
  expect(after).toMatchObject({ uid: pool.uid, app, removed: false, signKey: body.signKey, boxKey: body.boxKey });
  expect(after?.signKeyId).not.toBe(pool.signKey.id);
  expect(after?.boxKeyId).not.toBe(pool.boxKey.id);
});

test('old pool keys never come back: neither by a second rekey, nor for another gateway', async () => {
  const [old, fresh] = [await rekeyBody(), await rekeyBody()];
  const rekeyed = await fold(old);
  const again = async (body: LogEntryBody) => foldLog(rekeyed, [await signEntry(rekeyed, body, device, now)]);
  const before = { signKey: pool.signKey.publicJwk, boxKey: pool.boxKey.publicJwk };
  for (const keys of [before, { ...fresh, signKey: before.signKey }, { ...fresh, boxKey: before.boxKey }, old]) {
    const body = { ...fresh, ...keys, kind: 'gateway-rekeyed', gateway: honest.otherPool.uid } as const;
    expect(await refusedWith(() => again(body))).toBe('PAM_TRUST_ENTRY_INVALID key');
    expect(await refusedWith(() => again({ ...body, gateway: pool.uid }))).toBe('PAM_TRUST_ENTRY_INVALID key');
  }
});

test('who may not manage gateways rekeys none, the holder of the pool keys least of all, and nobody one that is gone', async () => {
  expect(await refusedWith(async () => fold(await rekeyBody(), pool.signKey))).toBe('PAM_TRUST_ENTRY_INVALID signer');
  expect(await refusedWith(async () => fold(await rekeyBody(), stranger))).toBe('PAM_TRUST_ENTRY_INVALID signer');
  expect(await refusedWith(async () => fold(await rekeyBody(gatewayUidSchema.parse(freshUid()))))).toBe(
    'PAM_TRUST_ENTRY_INVALID order',
  );
  const removed = await fold({ kind: 'gateway-removed', gateway: pool.uid });
  const late = await signEntry(removed, await rekeyBody(), device, now);
  expect(await refusedWith(() => foldLog(removed, [late]))).toBe('PAM_TRUST_ENTRY_INVALID order');
});
