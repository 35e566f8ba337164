import type { ErrorCode } from '@sallyport/protocol';
import {
  checkFloor,
  checkHead,
  checkInstanceCertificate,
  createLog,
  foldLog,
  type LogEntryBody,
  newBoxKey,
  newInstanceIdentity,
  newSigningKey,
  openPart,
  sealPart,
  signEntry,
  signRequest,
  unwrapKey,
  verifyRequest,
} from '../src/index.ts';
import * as lies from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { refusedWith } from './refusals.ts';

/** A thief has the join configuration of `pool`; its owner made new keys. The router is the thief's friend. */
const now = 1_800_000_000;
const honest = await lies.honestInstallation(now);
const { anchor, app, device, entries, keys, machine, pool } = honest;
const fresh = { signKey: await newSigningKey(), boxKey: await newBoxKey() };
const rekey: LogEntryBody = {
  kind: 'gateway-rekeyed',
  gateway: pool.uid,
  signKey: fresh.signKey.publicJwk,
  boxKey: fresh.boxKey.publicJwk,
};
const { log } = await lies.appendEntry(entries, honest.log, rekey, device, now);
/** What the router shows to those it deceives: everything but the rekey. */
const hidden = await foldLog(createLog(anchor), entries);
const theirs = await newInstanceIdentity(pool.signKey, pool.uid, now * 1_000);
const ours = await newInstanceIdentity(fresh.signKey, pool.uid, now * 1_000);

/** What `pam` does with the certificate of whoever answers. */
const meets = (instance: typeof theirs, known: typeof log) =>
  checkInstanceCertificate({
    der: instance.certificatePem,
    gateway: pool.uid,
    poolPublicJwk: known.gateways.get(pool.uid)?.signKey ?? fresh.signKey.publicJwk,
    nowMs: now * 1_000,
  });
const request = await signRequest(
  {
    iss: device.id as never,
    aud: `gateway:${pool.uid}`,
    jti: 'a'.repeat(22),
    iat: now,
    exp: now + 60,
    until: now + 3_600,
    session: lies.freshUid() as never,
    stream: lies.freshUid() as never,
    resource: machine.uid,
    revs: { [machine.uid]: 2 },
    workload: 'tunnel' as const,
    head: log.head,
    cnf: log.head.hash,
  },
  device,
);
const oldWrap = honest.wraps[0];
if (oldWrap === undefined) expect.unreachable('the installation has wraps');
const statePlace = { app, uid: machine.uid, type: 'pamMachine', part: 'state', gen: 1, rev: 1 } as const;

const moves: readonly (readonly [lie: string, end: `${ErrorCode} ${string}`, act: () => unknown])[] = [
  ['leads a client to the thief’s instance', 'PAM_INSTANCE_UNVERIFIED pool', () => meets(theirs, log)],
  ['hides the rekey from a client that has seen it', 'PAM_TRUST_SHORTENED floor', () => checkFloor(hidden, log.head)],
  [
    'hides it from an instance that starts with the new configuration, whose floor it is',
    'PAM_TRUST_SHORTENED floor',
    () => checkFloor(hidden, { n: log.head.n, hash: log.head.hash }),
  ],
  [
    'hides it from an old instance that is sent a request by somebody who knows it',
    'PAM_TRUST_BEHIND head',
    () => verifyRequest(request, { gateway: pool.uid, log: hidden, nowSeconds: now }),
  ],
  [
    'hides it from a client that speaks to an instance which knows it',
    'PAM_TRUST_BEHIND head',
    () => checkHead(hidden, log.head),
  ],
  [
    'puts another entry in its place',
    'PAM_TRUST_FORKED floor',
    async () => {
      const other = { kind: 'application', app: lies.freshUid() as never } as const;
      checkFloor((await lies.appendEntry(entries, hidden, other, device, now)).log, log.head);
    },
  ],
  [
    'has the thief sign a rekey of his own',
    'PAM_TRUST_ENTRY_INVALID signer',
    async () => foldLog(log, [await signEntry(log, { ...rekey, ...(await newKeys()) }, pool.signKey, now)]),
  ],
  [
    'takes the rekey back with the keys that were stolen',
    'PAM_TRUST_ENTRY_INVALID key',
    async () => {
      const back = { ...rekey, signKey: pool.signKey.publicJwk, boxKey: pool.boxKey.publicJwk };
      return foldLog(log, [await signEntry(log, back, device, now)]);
    },
  ],
  [
    'gives the new pool the wrap of the old one',
    'PAM_WRAP_INVALID place',
    () => unwrapKey(oldWrap.wrap, { app, part: 'facts', gen: 1 }, fresh.boxKey, log),
  ],
  [
    'serves what the thief writes about a record',
    'PAM_SEAL_AUTHOR signer',
    async () => {
      const envelope = await sealPart(statePlace, { seen: 'evil' }, keys.facts, pool.signKey, now);
      return openPart(envelope, statePlace, keys.facts, log);
    },
  ],
];

async function newKeys() {
  return { signKey: (await newSigningKey()).publicJwk, boxKey: (await newBoxKey()).publicJwk };
}

test.each(moves)('[C2] [C6] after a rekey, a router that %s is told apart: %s', async (_lie, end, act) => {
  expect(await refusedWith(act)).toBe(end);
});

test('after a rekey honest ends find each other under the new keys', async () => {
  expect((await meets(ours, log)).instance).toBe(ours.id);
  await verifyRequest(request, { gateway: pool.uid, log, nowSeconds: now });
});

test('[L1] [L3] a client from which the rekey is hidden, and who speaks to nobody who knows it, still trusts the thief', async () => {
  expect((await meets(theirs, hidden)).instance).toBe(theirs.id);
});
