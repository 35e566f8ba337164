import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openStore, restoreStore, type Store } from '../../src/store/index.ts';
import { testNowMs } from './engines-time.ts';
import {
  account,
  claimOf,
  jobId,
  kept,
  leaseOf,
  newOrder,
  noEvents,
  one,
  putUsers,
  server,
  startOne,
  user,
} from './rotation-samples.ts';
import { appUid, gatewayUid, itemUid, sealedPart } from './samples.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-restored-'));
let folders = 0;
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const nowMs = testNowMs;
const newDataDir = (): string => join(folder, `data-${(folders += 1)}`);
const open = (dataDir: string): Promise<Store> =>
  openStore(
    { dataDir },
    {
      nowMs: () => nowMs,
      onFatal: (error) => {
        throw error;
      },
    },
  );
const start = (store: Store, kind: 'rotate' | 'check', job: string) => startOne(store, newOrder(job, { kind }));

test('[R5] a restored store trusts no lease, no job and no account it knew, until a check has opened it', async () => {
  const dataDir = newDataDir();
  const store = await open(dataDir);
  await putUsers(store);
  await start(store, 'rotate', 'job');
  const lease = await leaseOf(store);
  const { epoch } = kept(await store.rotation.claimJob(claimOf('job', lease))).claimed;
  const backup = join(folder, 'backup.sqlite');
  await store.backup(backup);
  await store.close();
  restoreStore({ dataDir, from: backup, nowMs });

  const restored = await open(dataDir);
  expect(await restored.rotation.getJob({ job: jobId('job') })).toMatchObject({ state: 'attention', why: 'restored' });
  await expect(start(restored, 'rotate', 'again')).rejects.toMatchObject({ code: 'PAM_ROTATION_ATTENTION' });
  const lost = await restored.rotation.renewLease({ instance: one, gateway: gatewayUid(), lease, after: lease, nowMs });
  expect(lost).toEqual({ lost: true });
  const fresh = await leaseOf(restored, one, lease);
  await start(restored, 'check', 'check');
  const later = kept(await restored.rotation.claimJob(claimOf('check', fresh))).claimed.epoch;
  expect(later).toBeGreaterThanOrEqual(2 * 2 ** 32);
  expect(later).toBeGreaterThan(epoch);
  await restored.rotation.finishJob({
    ...{ job: jobId('check'), epoch: later, instance: one, nowMs, outcome: 'done', why: 'opens' },
    ...{ note: null, recheckMs: [], told: noEvents },
  });
  expect((await start(restored, 'rotate', 'again')).state).toBe('queued');
  await restored.close();
});

/** An account of `user` rotated once: what its instance knows afterwards. */
async function rotated(store: Store, id: string, envelope: string) {
  await start(store, 'rotate', id);
  const { epoch, base } = kept(await store.rotation.claimJob(claimOf(id, await leaseOf(store)))).claimed;
  const at = { job: jobId(id), epoch, instance: one, nowMs };
  const sealed = { rev: base + 1, gen: 1, envelope };
  const staged = await store.rotation.stageVersion({ ...at, key: `stage-${id}`, ...sealed });
  const version = 'version' in staged ? staged.version : 0;
  const address = { gen: 1, envelope: 'n'.repeat(32) };
  const permitted = await store.rotation.permitSend({ ...at, key: `permit-${id}`, mark: 0, address });
  const send = 'send' in permitted ? permitted.send : 0;
  const report = (key: string, what: Parameters<Store['rotation']['reportStep']>[0]['what']) =>
    store.rotation.reportStep({ ...at, key, what, note: null });
  await report(`wrote-${id}`, { kind: 'wrote', send, outcome: 'applied' });
  await report(`verified-${id}`, { kind: 'verified', version, send });
  await store.rotation.promoteVersion({ ...at, version, promoted: null, edited: null });
  await store.rotation.finishJob({
    ...{ ...at, outcome: 'done', why: 'rotated', note: null, recheckMs: [], told: null },
  });
  return { epoch, send, sealed, job: jobId(id) };
}

test('what a restored store lost comes back from the journal of an instance, and the numbers only rise', async () => {
  const dataDir = newDataDir();
  const store = await open(dataDir);
  await putUsers(store);
  const backup = join(folder, 'before-any.sqlite');
  await store.backup(backup);
  const first = await rotated(store, 'first', 'first'.padEnd(32, '.'));
  const second = await rotated(store, 'second', 'second'.padEnd(32, '.'));
  const entryOf = ({ epoch, send, sealed, job }: typeof first) => ({
    ...{ account, server, record: user, job, epoch, send },
    digest: createHash('sha256').update(sealed.envelope).digest('base64url'),
  });
  const entries = [entryOf(first), entryOf(second)];
  const ask = (at: Store) => at.rotation.compareJournal({ entries, app: appUid(), instance: one, nowMs });
  // Nothing was lost: nothing is asked for, and nothing is said of the account.
  expect(await ask(store)).toEqual({ wanted: [], distrusted: [] });
  await store.close();
  restoreStore({ dataDir, from: backup, nowMs });

  const restored = await open(dataDir);
  // The backup was made before the account was ever rotated: the store does not even know of it.
  expect((await start(restored, 'rotate', 'early')).state).toBe('queued');
  await restored.rotation.cancelJob({ job: jobId('early'), nowMs });
  expect(await ask(restored)).toEqual({ wanted: entries.map(({ digest }) => digest), distrusted: [user] });
  await expect(start(restored, 'rotate', 'again')).rejects.toMatchObject({ code: 'PAM_ROTATION_ATTENTION' });
  const give = ({ sealed, job }: typeof first, change: object = {}) =>
    restored.rotation.recoverVersion({
      ...{ account, record: user, job, ...sealed, atMs: nowMs },
      ...{ app: appUid(), instance: one, nowMs, ...change },
    });
  expect(await give(first, { app: appUid('other') })).toMatchObject({ refused: 'PAM_CONFLICT' });
  expect(await give(first, { record: itemUid('else') })).toMatchObject({ refused: 'PAM_CONFLICT' });
  expect(await give(first)).toEqual({ version: 1 });
  expect(await give(second)).toEqual({ version: 2 });
  expect(await give(second)).toEqual({ version: null });
  expect(await ask(restored)).toEqual({ wanted: [], distrusted: [] });

  const known = await restored.rotation.readRotation({ record: user, nowMs });
  expect(known.account).toMatchObject({ attention: 'restored', current: null });
  expect(known.versions).toMatchObject([
    { n: 2, state: 'recovered', rev: 3, job: second.job, source: one, envelope: second.sealed.envelope },
    { n: 1, state: 'recovered', rev: 2, job: first.job, source: one, envelope: first.sealed.envelope },
  ]);
  await restored.rotation.resolveRotation({
    ...{ record: user, version: 2, secrets: sealedPart(2, 'resolved'), author: 'anna', nowMs },
  });
  const third = await rotated(restored, 'third', 'third'.padEnd(32, '.'));
  expect(third.epoch).toBeGreaterThan(second.epoch);
  expect(third.send).toBeGreaterThan(second.send);
  await restored.close();
});

test('a store that was set back by other means is told by the numbers of an instance', async () => {
  const dataDir = newDataDir();
  const store = await open(dataDir);
  await putUsers(store);
  const { epoch, send, sealed, job } = await rotated(store, 'first', 'first'.padEnd(32, '.'));
  const digest = createHash('sha256').update(sealed.envelope).digest('base64url');
  const entry = { account, server, record: user, job, digest };
  const entries = [{ ...entry, epoch: epoch + 3, send: send + 5 }];
  const compared = await store.rotation.compareJournal({ entries, app: appUid(), instance: one, nowMs });
  expect(compared).toEqual({ wanted: [], distrusted: [user] });
  const known = await store.rotation.readRotation({ record: user, nowMs });
  expect(known.account).toMatchObject({ attention: 'restored', epoch: epoch + 3, send: send + 5 });
  await store.close();
});
