import { type GatewayUid, gatewayUidSchema, personUidSchema, rights } from '@sallyport/protocol';
import { createLog, foldLog, type LogEntryBody, newBoxKey, newSigningKey, peekEntry, signEntry } from '@sallyport/seal';
import { freshUid, honestInstallation } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { checkGivenBackKinds, effectsOf } from './given-back.ts';

const now = 1_800_000_000;
const honest = await honestInstallation(now);
const gateway = honest.pool.uid;
const known = (uid: GatewayUid): boolean => uid === gateway;
const keys = async () => ({ signKey: (await newSigningKey()).publicJwk, boxKey: (await newBoxKey()).publicJwk });

async function signed(...bodies: readonly LogEntryBody[]): Promise<string[]> {
  let log = honest.log;
  const entries: string[] = [];
  for (const body of bodies) {
    const entry = await signEntry(log, body, honest.device, now);
    log = await foldLog(log, [entry]);
    entries.push(entry);
  }
  return entries;
}

test('new keys revoke who came under the former ones, and removals remove', async () => {
  const entries = await signed(
    { kind: 'gateway-rekeyed', gateway, ...(await keys()) },
    { kind: 'gateway-removed', gateway },
  );
  expect(effectsOf(entries, honest.log, known)).toEqual([
    { kind: 'rekey', gateway, formerBoxKeyId: honest.pool.boxKey.id },
    { kind: 'remove-gateway', gateway },
    { kind: 'remove-item', uid: gateway },
  ]);
});

test('of a gateway that was made and removed after the backup there is nothing to cut', async () => {
  const uid = gatewayUidSchema.parse(freshUid());
  const entries = await signed(
    { kind: 'gateway', gateway: uid, app: honest.app, ...(await keys()) },
    { kind: 'gateway-rekeyed', gateway: uid, ...(await keys()) },
    { kind: 'gateway-removed', gateway: uid },
  );
  expect(effectsOf(entries, honest.log, known)).toEqual([{ kind: 'remove-item', uid }]);
});

test('what only the log says does nothing more', async () => {
  expect(effectsOf(honest.entries, createLog(honest.anchor), known)).toEqual([]);
});

test('giving back leads around no route: kinds that none takes are refused', async () => {
  const person = { uid: personUidSchema.parse(freshUid()), name: 'eve', ...(await keys()) };
  const commitments = { facts: 'a'.repeat(43), secrets: 'b'.repeat(43), recordings: 'c'.repeat(43) };
  const bodies: readonly LogEntryBody[] = [
    { kind: 'person', person, rights: [...rights] },
    { kind: 'generation', app: honest.app, gen: 2, commitments },
  ];
  for (const body of bodies) {
    const entries = await signed(body);
    expect(() => checkGivenBackKinds(entries)).toThrow(expect.objectContaining({ code: 'PAM_TRUST_ENTRY_INVALID' }));
  }
  expect(() => checkGivenBackKinds(honest.entries.slice(0, 1))).toThrow(/genesis/);
  expect(() =>
    checkGivenBackKinds(honest.entries.slice(1).filter((one) => peekEntry(one).kind !== 'person')),
  ).not.toThrow();
});
