import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as seal from '../src/index.ts';
import { makeVectors, type VaultVectors } from './make-vectors.ts';

/** Every format of docs/protocol-vault.md against docs/vault-vectors.json: what others have stored must keep opening. */
const path = join(import.meta.dirname, '../../../docs/vault-vectors.json');
const published = JSON.parse(readFileSync(path, 'utf8')) as VaultVectors;
const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64url'));

const sources = [
  { of: 'the page', vectors: published },
  { of: 'this program', vectors: await makeVectors() },
] as const;

const opened = async (vectors: VaultVectors) => ({
  device: await seal.importSigningKey(vectors.keys.device.jwk),
  person: await seal.importSigningKey(vectors.keys.person.jwk),
  pool: await seal.importSigningKey(vectors.keys.pool.jwk),
  poolBox: await seal.importBoxKey(vectors.keys.poolBox.jwk),
  router: await seal.importSigningKey(vectors.keys.router.jwk),
  facts: bytes(vectors.keys.facts),
  log: await seal.foldLog(seal.createLog(vectors.log.anchor), vectors.log.entries),
});

test('the page has the members that this program makes', () => {
  expect(Object.keys(published)).toEqual(Object.keys(sources[1].vectors));
});

test.each(sources)('keys, thumbprints and pins of $of', async ({ vectors }) => {
  const { device, person, pool, poolBox, router } = await opened(vectors);
  const { keys } = vectors;
  const want = [keys.device.id, keys.person.id, keys.pool.id, keys.poolBox.id, keys.router.id];
  expect([device, person, pool, poolBox, router].map(({ id }) => id)).toEqual(want);
  expect(await seal.pinOfKey(router.publicJwk)).toBe(keys.router.pin);
});

test.each(sources)('the trust log of $of folds to its hashes and commitments', async ({ vectors }) => {
  const { entries, hashes, commitments } = vectors.log;
  const { log, facts } = await opened(vectors);
  expect(await Promise.all(entries.map(seal.entryHash))).toEqual(hashes);
  expect(log.hashes).toEqual(hashes);
  const keys = { facts, secrets: bytes(vectors.keys.secrets), recordings: bytes(vectors.keys.recordings) };
  const { app, gen, ...want } = commitments;
  expect(await seal.commitKeys(app, gen, keys)).toEqual(want);
  expect(log.apps.get(app)?.generations.get(gen)).toEqual(want);
  expect(new Set(entries.map((entry) => seal.peekEntry(entry).kind)).size).toBe(8);
});

test.each(sources)('part, wrap and box of $of open', async ({ vectors }) => {
  const { part, wrap, box } = vectors;
  const { log, facts, poolBox, device } = await opened(vectors);
  const want = { body: part.body, place: part.place, author: device.id, at: vectors.nowSeconds, proof: null };
  expect(await seal.openPart(part.envelope, part.place, facts, log)).toEqual(want);
  const place = { app: wrap.app, part: 'facts', gen: wrap.gen } as const;
  expect(await seal.unwrapKey(wrap.wrap, place, poolBox, log)).toEqual(facts);
  expect(await seal.openFromBox(box.purpose, box.jwe, poolBox)).toEqual(box.value);
});

test.each(sources)('join configuration, token and setup code of $of', async ({ vectors }) => {
  const { join: joined, token, setup } = vectors;
  expect(await seal.decodeJoinConfig(joined.text)).toEqual(joined.config);
  expect(seal.encodeJoinConfig(joined.config)).toBe(joined.text);
  expect(await seal.tokenLookup(token.token)).toBe(token.lookup);
  expect(await seal.openTokenBlob(token.token, token.blob)).toEqual(joined.config);
  expect(await seal.parseSetupCode(setup.code)).toEqual({ secret: setup.secret, pin: setup.pin });
  expect(await seal.hashSetupSecret(setup.secret)).toBe(setup.secretHash);
});

test.each(sources)('request, certificates and hello of $of', async ({ vectors }) => {
  const { request, certificates, hello, nowSeconds } = vectors;
  const { log, pool } = await opened(vectors);
  const { gateway } = request;
  expect(await seal.verifyRequest(request.jwt, { gateway, log, nowSeconds })).toEqual(request.claims);
  expect(await seal.requestHash(request.jwt)).toBe(request.hash);
  const question = { gateway, poolPublicJwk: pool.publicJwk, nowMs: nowSeconds * 1_000 };
  const checked = await seal.checkInstanceCertificate({ ...question, der: certificates.instance });
  const { cnf } = request.claims;
  await seal.checkSessionCertificate({ der: certificates.session, cnf, nowMs: question.nowMs });
  const { nonce, routerPin } = hello.claims;
  const want = { ...question, certificate: certificates.instance, nonce, routerPin };
  expect(await seal.verifyHello(hello.jws, want)).toEqual(checked);
});

test.each(sources)('person, recovery and what rests on a device, of $of', async ({ vectors }) => {
  const { person: own, keys } = vectors;
  const { person } = await opened(vectors);
  expect(await seal.openPersonBlob(own.sealed, own.exportKey, own.accountSecret)).toEqual(own.blob);
  expect(await seal.openRecoveryBlob(own.recoverySealed, own.recoveryCode)).toEqual(own.blob);
  expect(await seal.recoveryLookup(own.recoveryCode)).toBe(own.recoveryLookup);
  await seal.verifyRecoveryProof(own.recoveryProof.jws, person.publicJwk, own.recoveryProof.claims);
  expect(await seal.openAtRest(own.atRest.purpose, own.atRest.jwe, bytes(keys.deviceSecret))).toEqual(own.blob);
});

test.each(sources)('DPoP proof, digest, event and head of $of', async ({ vectors }) => {
  const { dpop, digest, event, head } = vectors;
  const { device, log } = await opened(vectors);
  const { jwt, ...call } = dpop;
  expect((await seal.verifyProof(jwt, call)).jkt).toBe(device.id);
  expect(await seal.digestOf(digest.message)).toBe(digest.digest);
  expect(await seal.verifyEvent(event.jws, device.publicJwk)).toEqual(event.event);
  expect(await seal.eventHash(event.jws)).toBe(event.hash);
  expect(await seal.verifyHead(head.jws, log.routerPins)).toEqual(head.head);
});
