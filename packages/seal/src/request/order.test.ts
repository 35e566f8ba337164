import { deviceIdSchema, jobIdSchema, type Script, type Service, serviceSchema } from '@sallyport/protocol';
import { appendEntry, editHeader, editPayload, freshUid, honestInstallation } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { flipCharacter, refusedWith, throwsOnlyPamError } from '../../test/refusals.ts';
import { openPart, sealCandidate, sealPart } from '../envelope/part.ts';
import type { Place } from '../envelope/place.ts';
import { openNote, sealNote } from '../envelope/note.ts';
import { newBoxKey, newSigningKey } from '../keys/ec-key.ts';
import { orderLifeSeconds, peekOrder, signOrder, verifyOrder } from './order.ts';
import { signScript, verifyScript } from './script-signature.ts';
import { signService, verifyService } from './service-signature.ts';
import { peekStandingOrder, signStandingOrder, verifyStandingOrder } from './standing-order.ts';

const now = 1_800_000_000;
const honest = await honestInstallation(now);
const { device, pool, otherPool, log, machine, app, keys } = honest;
const user = freshUid() as typeof machine.uid;
const claims = {
  iss: deviceIdSchema.parse(device.id),
  aud: `gateway:${pool.uid}`,
  jti: 'j'.repeat(22),
  iat: now,
  exp: now + orderLifeSeconds,
  act: 'rotate' as const,
  job: jobIdSchema.parse(freshUid()),
  record: user,
  base: 6,
  revs: { [user]: 2, [machine.uid]: 1 },
  head: log.head,
};
const order = await signOrder(claims, device);
const want = { gateway: pool.uid, log, nowSeconds: now + 1 };
const verify = (text: string, changes: Partial<typeof want> = {}) =>
  refusedWith(() => verifyOrder(text, { ...want, ...changes }));
const removed = (await appendEntry([], log, { kind: 'device-removed', device: claims.iss }, honest.person.signKey, now))
  .log;

const standingClaims = {
  iss: claims.iss,
  app,
  gateway: pool.uid,
  record: user,
  schedule: { kind: 'cron' as const, cron: '0 3 * * *', tz: 'Europe/Berlin' },
  iat: now,
  head: log.head,
};
const standing = await signStandingOrder(standingClaims, device);
const standingWant = { app, gateway: pool.uid, record: user, log, past: false };

test('an honest order verifies', async () => {
  expect(await verifyOrder(order, want)).toEqual(claims);
  expect(peekOrder(order)).toEqual(claims);
});

test.each(Object.keys(claims))('the claim %s changed after signing is refused, and left out too', async (name) => {
  const other: Record<string, unknown> = {
    iss: 'i'.repeat(43),
    aud: `gateway:${otherPool.uid}`,
    jti: 'k'.repeat(22),
    iat: now - 1,
    exp: now + 1,
    act: 'check',
    job: freshUid(),
    record: freshUid(),
    base: 7,
    revs: { [user]: 1 },
    head: { ...log.head, n: log.head.n - 1 },
  };
  expect(await verify(editPayload(order, { [name]: other[name] }))).toBe('PAM_ORDER_INVALID signature');
  expect(await verify(editPayload(order, { [name]: undefined }))).toBe('PAM_ORDER_INVALID payload');
});

test('[C9] an order is good for a day, at its own gateway, from a device that may use secrets now', async () => {
  expect(await verify(order, { nowSeconds: now - 61 })).toBe('PAM_ORDER_INVALID early');
  expect(await verify(order, { nowSeconds: claims.exp + 60 })).toBe('accepted');
  expect(await verify(order, { nowSeconds: claims.exp + 61 })).toBe('PAM_ORDER_SPENT expired');
  expect(await verify(order, { gateway: otherPool.uid })).toBe('PAM_ORDER_INVALID audience');
  expect(await verify(order, { log: removed })).toBe('PAM_ORDER_INVALID right');
  expect(await verify(await signOrder({ ...claims, exp: now + 60 }, device))).toBe('PAM_ORDER_INVALID life');
  expect(await verify(await signOrder({ ...claims, revs: { [machine.uid]: 1 } }, device))).toBe(
    'PAM_ORDER_INVALID revs',
  );
  expect(await verify(await signOrder(claims, await newSigningKey()))).toBe('PAM_ORDER_INVALID signer');
  expect(await verify(await signOrder(claims, pool.signKey))).toBe('PAM_ORDER_INVALID signer');
  expect(await verify(editHeader(order, { alg: 'none' }))).toBe('PAM_ORDER_INVALID header');
  const ahead = { n: log.head.n + 1, hash: 'h'.repeat(43) };
  expect(await verify(await signOrder({ ...claims, head: ahead }, device))).toBe('PAM_TRUST_BEHIND head');
});

test('garbage throws nothing but PamError', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 200 }),
        fc.nat(order.length - 1).map((cut) => order.slice(0, cut)),
      ),
      async (text) => {
        await throwsOnlyPamError(() => verifyOrder(text, want));
        await throwsOnlyPamError(() => verifyStandingOrder(text, standingWant));
      },
    ),
    { numRuns: 100 },
  );
});

test('a standing order holds for its application, gateway and record, while its signer may use secrets', async () => {
  const check = (changes: Partial<typeof standingWant>, text = standing) =>
    refusedWith(() => verifyStandingOrder(text, { ...standingWant, ...changes }));
  expect(await verifyStandingOrder(standing, standingWant)).toEqual(standingClaims);
  expect(peekStandingOrder(standing).schedule).toEqual(standingClaims.schedule);
  expect(await check({ app: freshUid() as typeof app })).toBe('PAM_ORDER_INVALID place');
  expect(await check({ gateway: otherPool.uid })).toBe('PAM_ORDER_INVALID place');
  expect(await check({ record: machine.uid })).toBe('PAM_ORDER_INVALID place');
  expect(await check({ log: removed })).toBe('PAM_ORDER_INVALID right');
  expect(await check({ log: removed, past: true })).toBe('accepted');
  expect(await check({}, flipCharacter(standing, 2))).toBe('PAM_ORDER_INVALID signature');
  const moved = editPayload(standing, { schedule: { ...standingClaims.schedule, cron: '* * * * *' } });
  expect(await check({}, moved)).toBe('PAM_ORDER_INVALID signature');
});

const place: Place = { app, uid: user, type: 'pamUser', part: 'secrets', gen: 1, rev: 7 };
const body = { password: 'new' };
const candidate = (
  proof: Parameters<typeof sealCandidate>[4],
  changes: Partial<Place> = {},
  at = now + 1,
  key = pool.signKey,
) => sealCandidate({ ...place, ...changes }, body, keys.secrets, key, proof, at);
const read = async (jwe: string, changes: Partial<Place> = {}, under = log) =>
  refusedWith(() => openPart(jwe, { ...place, ...changes }, keys.secrets, under));

test('[L11] a secret that an instance wrote under an order opens, and goes on to when its signer or its key is gone', async () => {
  const jwe = await candidate({ order });
  expect((await openPart(jwe, place, keys.secrets, log)).body).toEqual(body);
  expect(await read(jwe, {}, removed)).toBe('accepted');
  expect(await read(await candidate({ standing, dueAtMs: now * 1_000 }))).toBe('accepted');
  const gone = (await appendEntry([], log, { kind: 'gateway-removed', gateway: pool.uid }, device, now)).log;
  expect(await read(jwe, {}, gone)).toBe('accepted');
  const [signKey, boxKey] = [await newSigningKey(), await newBoxKey()];
  const rekey = {
    kind: 'gateway-rekeyed',
    gateway: pool.uid,
    signKey: signKey.publicJwk,
    boxKey: boxKey.publicJwk,
  } as const;
  const after = (await appendEntry([], log, rekey, device, now)).log;
  expect(await read(jwe, {}, after)).toBe('accepted');
});

test('[C8] a pool’s key alone writes no secret, nor with an order for something else', async () => {
  const sneaked = await sealPart(place, body, keys.secrets, pool.signKey, now);
  expect(await read(sneaked)).toBe('PAM_SEAL_AUTHOR proof');
  const other = async (changes: Partial<typeof claims>, key = device) =>
    read(await candidate({ order: await signOrder({ ...claims, ...changes }, key) }));
  expect(await other({ base: 5 })).toBe('PAM_SEAL_AUTHOR proof');
  expect(await other({ act: 'rehearse' as 'rotate' })).toBe('PAM_SEAL_AUTHOR proof');
  expect(await other({ record: machine.uid })).toBe('PAM_SEAL_AUTHOR proof');
  expect(await other({ aud: `gateway:${otherPool.uid}` })).toBe('PAM_SEAL_AUTHOR proof');
  expect(await other({}, await newSigningKey())).toBe('PAM_SEAL_AUTHOR proof');
  expect(await other({}, pool.signKey)).toBe('PAM_SEAL_AUTHOR proof');
  expect(await read(await candidate({ order }, {}, now - 61))).toBe('PAM_SEAL_AUTHOR proof');
  expect(await read(await candidate({ order }, {}, claims.exp + 61))).toBe('PAM_SEAL_AUTHOR proof');
  expect(await read(await candidate({ order }, { rev: 8 }), { rev: 8 })).toBe('PAM_SEAL_AUTHOR proof');
  expect(await read(await candidate({ standing, dueAtMs: (now + 3_600) * 1_000 }))).toBe('PAM_SEAL_AUTHOR proof');
  expect(await read(await candidate({ order }, {}, now + 1, otherPool.signKey))).not.toBe('accepted');
  expect(await read(await candidate({ order }, {}, now + 1, await newSigningKey()))).toBe('PAM_SEAL_AUTHOR signer');
});

test('instances write no facts, and no other secrets than of users', async () => {
  for (const changes of [{ part: 'facts' }, { part: 'state' }, { type: 'pamMachine' }] as const) {
    expect(await refusedWith(() => candidate({ order }, changes))).toBe('PAM_BAD_REQUEST');
  }
});

test('[C9] a script runs only as it was signed, where it was signed for, by who may manage gateways', async () => {
  const script = {
    ...{ name: 'reload', on: 'gateway' as const, command: ['/bin/sh'], body: 'echo hi\n', records: [] },
    ...{ timeoutSeconds: 60, enabled: true },
  };
  const there = { app, holder: user };
  const signed: Script = { ...script, signed: await signScript(script, there, device, now) };
  const check = (changes: Partial<Script>, at = there, under = log) =>
    refusedWith(() => verifyScript({ ...signed, ...changes }, at, under));
  expect(await check({})).toBe('accepted');
  expect(await check({ enabled: false })).toBe('accepted');
  for (const changes of [
    ...[{ body: 'rm\n' }, { name: 'x' }, { on: 'target' }, { command: [] }],
    ...[{ records: [machine.uid] }, { timeoutSeconds: 600 }, { machine: machine.uid }, { as: user }],
  ] as const) {
    expect(await check(changes as Partial<Script>)).toBe('PAM_ORDER_INVALID script');
  }
  expect(await check({}, { app, holder: machine.uid })).toBe('PAM_ORDER_INVALID script');
  expect(await check({}, there, removed)).toBe('PAM_ORDER_INVALID right');
  const byPool = await signScript(script, there, pool.signKey, now);
  expect(await check({ signed: byPool })).toBe('PAM_ORDER_INVALID signer');
});

test('[C9] a service is touched only as it was signed, for the record it was signed for', async () => {
  const service = {
    ...{ name: 'web', machine: machine.uid, unit: 'web.service', manager: 'systemd' as const },
    ...{ file: '/etc/web/db.env', template: 'PASSWORD={{password}}\n', escape: 'shell' as const },
  };
  const there = { app, holder: user };
  const signed: Service = { ...service, signed: await signService(service, there, device, now) };
  const check = (changes: Partial<Service>, at = there, under = log) =>
    refusedWith(() => verifyService({ ...signed, ...changes }, at, under));
  expect(await check({})).toBe('accepted');
  for (const changes of [
    ...[{ name: 'x' }, { machine: user }, { as: user }, { unit: 'ssh.service' }, { manager: 'sysv' }],
    ...[{ file: '/etc/shadow' }, { template: '{{password}}' }, { escape: 'raw' }],
  ] as const) {
    expect(await check(changes as Partial<Service>)).toBe('PAM_ORDER_INVALID service');
  }
  expect(await check({}, { app, holder: machine.uid })).toBe('PAM_ORDER_INVALID service');
  expect(await check({}, there, removed)).toBe('PAM_ORDER_INVALID right');
  expect(await check({ signed: await signService(service, there, pool.signKey, now) })).toBe(
    'PAM_ORDER_INVALID signer',
  );
});

test('a service names a file and a unit, and nothing that leads elsewhere', () => {
  const service = {
    ...{ name: 'web', machine: machine.uid, unit: 'web@1.service', manager: 'systemd', file: '/etc/a b/…/.env.d/x' },
    ...{ template: '', escape: 'raw', signed: 'x'.repeat(16) },
  };
  const takes = (changes: object): boolean => serviceSchema.safeParse({ ...service, ...changes }).success;
  expect(takes({})).toBe(true);
  for (const file of [
    '/etc/../shadow',
    '/etc/./x',
    '/etc//x',
    '/etc/x/',
    'etc/x',
    '/',
    '/..',
    '/etc/a\nb',
    '/etc/a\0b',
  ]) {
    expect([file, takes({ file })]).toEqual([file, false]);
  }
  for (const unit of ['--now', '-x', 'a b', 'a;b', '../x', 'a\n'])
    expect([unit, takes({ unit })]).toEqual([unit, false]);
  expect(takes({ file: '', unit: '' })).toBe(false);
});

test('a note opens for its job alone', async () => {
  const at = { app, job: claims.job, gen: 1 };
  const note = await sealNote(at, { message: 'role "x" does not exist' }, keys.facts);
  expect(await openNote(note, at, keys.facts)).toEqual({ message: 'role "x" does not exist' });
  expect(await refusedWith(() => openNote(note, { ...at, job: jobIdSchema.parse(freshUid()) }, keys.facts))).toBe(
    'PAM_SEAL_BROKEN header',
  );
  expect(await refusedWith(() => openNote(note, at, keys.secrets))).toBe('PAM_SEAL_BROKEN key');
  expect(await refusedWith(() => openNote(flipCharacter(note, 3), at, keys.facts))).toBe('PAM_SEAL_BROKEN key');
  expect(await refusedWith(() => sealNote(at, 'x'.repeat(40_960), keys.facts))).toBe('PAM_TOO_LARGE');
});
