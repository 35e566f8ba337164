import { rights } from '@sallyport/protocol';
import { honestInstallation, joinConfigOf } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import {
  createLog,
  decodeJoinConfig,
  encodeJoinConfig,
  foldLog,
  importBoxKey,
  importSigningKey,
  newInstanceIdentity,
  checkInstanceCertificate,
  openFromBox,
  openPart,
  peekEntry,
  peekPlace,
  requestUntilSeconds,
  sealToBox,
  unwrapKey,
} from '../src/index.ts';

/** Limits of the claim that code can show. They are part of it: docs/threat-model.md. */
const now = 1_800_000_000;
const honest = await honestInstallation(now);
const { app, pool, user, machine, log } = honest;

test('[L1] whoever copies a join configuration reads the records of its application and can pose as an instance', async () => {
  const copied = await decodeJoinConfig(encodeJoinConfig(await joinConfigOf(honest, ['pam.example:7443'])));
  const folded = await foldLog(createLog(copied.anchor), honest.entries);
  const box = await importBoxKey(copied.boxKey);
  const wrap = honest.wraps.find(({ part }) => part === 'secrets')?.wrap ?? '';
  const key = await unwrapKey(wrap, { app, part: 'secrets', gen: 1 }, box, folded);
  const place = { app, uid: user.uid, type: user.type, part: 'secrets', gen: 1, rev: 1 } as const;
  expect((await openPart(user.parts.secrets?.envelope ?? '', place, key, folded)).body).toEqual(honest.userSecrets);
  const thief = await newInstanceIdentity(await importSigningKey(copied.signKey), copied.gateway, now * 1_000);
  const question = {
    der: thief.certificatePem,
    gateway: pool.uid,
    poolPublicJwk: pool.signKey.publicJwk,
    nowMs: now * 1_000,
  };
  expect((await checkInstanceCertificate(question)).instance).toBe(thief.id);
});

test('[L3] a machine without memory accepts a consistent past, never one older than its floor', async () => {
  const past = await foldLog(createLog(honest.anchor), honest.entries.slice(0, 5));
  expect(past.head.n).toBe(4);
});

test('[L5] a request ends after 12 h whatever the router says', () => {
  expect(requestUntilSeconds).toBe(43_200);
});

test('[L7] envelopes have no forward secrecy: a key that leaks later opens what was sealed before', async () => {
  const before = await sealToBox('options', { host: '10.0.0.9' }, pool.boxKey.publicJwk);
  const leaked = await importBoxKey((await joinConfigOf(honest, ['pam.example:7443'])).boxKey);
  expect(await openFromBox('options', before, leaked)).toEqual({ host: '10.0.0.9' });
});

test('[L8] the router sees names, rights, UIDs, types, generations, revisions and times, and no more of a record', () => {
  expect(peekEntry(honest.entries[0] ?? '').body).toMatchObject({ kind: 'genesis', person: { name: 'anna' } });
  const place = peekPlace(machine.parts.facts?.envelope ?? '');
  expect(place).toEqual({ app, uid: machine.uid, type: 'pamMachine', part: 'facts', gen: 1, rev: 2 });
  const stored = JSON.stringify([machine, user, honest.configuration, honest.wraps, honest.entries]);
  const decoded = stored.replaceAll(/[\w-]{8,}/g, (word) => word + Buffer.from(word, 'base64url').toString('latin1'));
  for (const secret of ['web1', '10.0.0.5', 'correct horse', 'root']) expect(decoded).not.toContain(secret);
});

test('[L9] a device of the first person holds every right: whoever holds it is the installation', () => {
  expect(rights.every((right) => log.grants(honest.device.id, right))).toBe(true);
});
