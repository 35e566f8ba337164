import {
  applicationUidSchema,
  deviceIdSchema,
  itemUidSchema,
  sessionIdSchema,
  streamIdSchema,
} from '@sallyport/protocol';
import { appendEntry, freshUid, honestInstallation, joinConfigOf } from '@sallyport/testkit';
import {
  type LogEntryBody,
  commitKeys,
  digestOf,
  encodeJoinConfig,
  entryHash,
  eventHash,
  exportPrivate,
  newAccountSecret,
  newRecoveryCode,
  newSessionIdentity,
  newSetupCode,
  newToken,
  recoveryLookup,
  requestHash,
  sealAtRest,
  sealPart,
  sealPersonBlob,
  sealRecoveryBlob,
  sealToBox,
  signEvent,
  signHead,
  signHello,
  signProof,
  signRecoveryProof,
  signRequest,
  newInstanceIdentity,
  wrapKey,
} from '../src/index.ts';

const nowSeconds = 1_800_000_000;
const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');
const jwk = async (key: Parameters<typeof exportPrivate>[0]) => ({ id: key.id, jwk: await exportPrivate(key) });

export type VaultVectors = Awaited<ReturnType<typeof makeVectors>>;

/**
 * Makes one example of each format of docs/protocol-vault.md, with fresh keys. Signatures and encryption draw random
 * numbers, so vectors are verified and opened, not made again; what is derived is computed again by the test.
 */
export async function makeVectors() {
  const honest = await honestInstallation(nowSeconds);
  const { app, device, person, pool, router, keys, machine, configuration } = honest;

  let log = honest.log;
  let entries = honest.entries;
  const extra = applicationUidSchema.parse(freshUid());
  const bodies: readonly LogEntryBody[] = [
    { kind: 'application', app: extra },
    { kind: 'generation', app: extra, gen: 1, commitments: await commitKeys(extra, 1, keys) },
    { kind: 'router-pin', pins: [router.pin, 'A'.repeat(43)] },
    { kind: 'gateway-removed', gateway: honest.otherPool.uid },
    { kind: 'app-removed', app: extra },
  ];
  for (const body of bodies) {
    ({ entries, log } = await appendEntry(entries, log, body, device, nowSeconds));
  }

  const place = { app, uid: machine.uid, type: 'pamMachine', part: 'facts', gen: 1, rev: 3 } as const;
  const body = { title: 'web1', host: '10.0.0.5', port: 22, configuration: configuration.uid };
  const session = await newSessionIdentity(nowSeconds * 1_000);
  const instance = await newInstanceIdentity(pool.signKey, pool.uid, nowSeconds * 1_000);
  const request = {
    iss: deviceIdSchema.parse(device.id),
    aud: `gateway:${pool.uid}`,
    jti: 'AAAAAAAAAAAAAAAAAAAAAA',
    iat: nowSeconds,
    exp: nowSeconds + 60,
    until: nowSeconds + 43_200,
    session: sessionIdSchema.parse(freshUid()),
    stream: streamIdSchema.parse(freshUid()),
    resource: machine.uid,
    revs: { [machine.uid]: 3, [itemUidSchema.parse(configuration.uid)]: 1 },
    workload: 'tunnel',
    head: log.head,
    cnf: session.thumbprint,
  } as const;
  const requestText = await signRequest(request, device);
  const config = await joinConfigOf(honest, ['pam.example:7443', '[2001:db8::1]:7443']);
  const token = await newToken();
  const setup = await newSetupCode(router.pin);
  const accountSecret = await newAccountSecret();
  const recoveryCode = await newRecoveryCode();
  const exportKey = b64(crypto.getRandomValues(new Uint8Array(64)));
  const blob = {
    v: 1,
    personUid: person.uid,
    name: 'anna',
    signKey: await exportPrivate(person.signKey),
    boxKey: await exportPrivate(person.boxKey),
    anchor: honest.anchor,
    floor: log.head,
  } as const;
  const message = { uid: machine.uid, b: [1, null, 'ü'], a: true };
  const event = {
    actor: device.id,
    seq: 1,
    prev: '',
    at: nowSeconds,
    act: 'record.write',
    on: [machine.uid],
    digest: await digestOf(message),
  };
  const eventText = await signEvent(event, device);
  const head = { router: router.pin, start: 1, seq: 41, hash: 'B'.repeat(43), at: nowSeconds };
  const hello = { nonce: 'C'.repeat(43), gateway: pool.uid, instance: instance.id, routerPin: router.pin };
  const proof = { method: 'PUT', url: 'https://pam.example:7443/v1/items/x', nowSeconds, accessToken: 'D'.repeat(43) };
  const recovery = { lookup: await recoveryLookup(recoveryCode), digest: await digestOf(message) };
  const deviceSecret = crypto.getRandomValues(new Uint8Array(32));

  return {
    about:
      'Test vectors of docs/protocol-vault.md, read by packages/seal/test/vectors.test.ts. The keys are published here and good for nothing else. Bytes are base64url.',
    nowSeconds,
    keys: {
      person: await jwk(person.signKey),
      personBox: await jwk(person.boxKey),
      device: await jwk(device),
      pool: await jwk(pool.signKey),
      poolBox: await jwk(pool.boxKey),
      router: { ...(await jwk(router.key)), pin: router.pin },
      facts: b64(keys.facts),
      secrets: b64(keys.secrets),
      recordings: b64(keys.recordings),
      deviceSecret: b64(deviceSecret),
    },
    log: {
      anchor: honest.anchor,
      entries,
      hashes: await Promise.all(entries.map(entryHash)),
      commitments: { app, gen: 1, ...(await commitKeys(app, 1, keys)) },
    },
    part: { place, body, envelope: await sealPart(place, body, keys.facts, device, nowSeconds) },
    wrap: {
      app,
      part: 'facts',
      gen: 1,
      wrap: await wrapKey({ app, part: 'facts', gen: 1 }, keys.facts, pool.boxKey.publicJwk, device, nowSeconds),
    },
    box: {
      purpose: 'options',
      value: { host: '10.0.0.9', port: 22 },
      jwe: await sealToBox('options', { host: '10.0.0.9', port: 22 }, pool.boxKey.publicJwk),
    },
    join: { config, text: encodeJoinConfig(config) },
    token: { token: token.token, lookup: token.lookup, blob: await token.seal(config) },
    setup: { code: setup.code, secret: setup.secret, secretHash: setup.secretHash, pin: router.pin },
    request: { gateway: pool.uid, claims: request, jwt: requestText, hash: await requestHash(requestText) },
    certificates: { gateway: pool.uid, instance: instance.certificatePem, session: session.certificatePem },
    hello: { claims: hello, jws: await signHello(hello, instance.key) },
    person: {
      blob,
      exportKey,
      accountSecret,
      sealed: await sealPersonBlob(blob, exportKey, accountSecret),
      recoveryCode,
      recoveryLookup: await recoveryLookup(recoveryCode),
      recoverySealed: await sealRecoveryBlob(blob, recoveryCode),
      recoveryProof: { claims: recovery, jws: await signRecoveryProof(recovery, person.signKey) },
      atRest: { purpose: 'sign-in', jwe: await sealAtRest('sign-in', blob, deviceSecret) },
    },
    dpop: { ...proof, jwt: await signProof(proof, device) },
    digest: { message, digest: await digestOf(message) },
    event: { event, jws: eventText, hash: await eventHash(eventText) },
    head: { head, jws: await signHead(head, router.key) },
  };
}
