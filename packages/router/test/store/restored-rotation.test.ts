import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JobId } from '@sallyport/protocol';
import { afterAll, expect, test } from 'vitest';
import { openStore, restoreStore, type Store } from '../../src/store/index.ts';
import { testNowMs } from './engines-time.ts';
import {
  appUid,
  application,
  gatewayUid,
  hash,
  instanceId,
  itemUid,
  personUid,
  record,
  sealedPart,
} from './samples.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-restored-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const nowMs = testNowMs;
const dataDir = join(folder, 'data');
const open = (): Promise<Store> =>
  openStore(
    { dataDir },
    {
      nowMs: () => nowMs,
      onFatal: (error) => {
        throw error;
      },
    },
  );
const jobId = (text: string): JobId => text.padEnd(22, '_') as JobId;
const instance = instanceId('one');
const order = 'order'.padEnd(32, '_');
const of = { app: appUid(), gateway: gatewayUid(), order, person: personUid(), nowMs };
const start = (store: Store, kind: 'rotate' | 'check', job: JobId) =>
  store.rotation.startJob({ ...of, kind, job, record: itemUid('user') });

test('[R5] a restored store trusts no lease, no job and no account it knew, until a check has opened it', async () => {
  const store = await open();
  const parts = { facts: sealedPart(1), secrets: sealedPart(1) };
  await store.vault.putItems({ items: [application()], author: 'anna', nowMs });
  await store.vault.putItems({ items: [record('user', { type: 'pamUser', parts })], author: 'anna', nowMs });
  await start(store, 'rotate', jobId('job'));
  const renewed = await store.rotation.renewLease({ instance, gateway: gatewayUid(), lease: null, after: 0, nowMs });
  const lease = 'lease' in renewed ? renewed.lease : 0;
  const claim = (at: Store, job: JobId, under: number) =>
    at.rotation.claimJob({
      ...{ job, lease: under, account: hash('a'), server: hash('s'), instance, nowMs },
      ...{ scheduledAtOnce: 1, orderedAtOnce: 8 },
    });
  const before = await claim(store, jobId('job'), lease);
  const epoch = 'claimed' in before ? before.claimed.epoch : 0;
  const backup = join(folder, 'backup.sqlite');
  await store.backup(backup);
  await store.close();
  restoreStore({ dataDir, from: backup, nowMs });

  const restored = await open();
  expect(await restored.rotation.getJob({ job: jobId('job') })).toMatchObject({ state: 'attention', why: 'restored' });
  await expect(start(restored, 'rotate', jobId('again'))).rejects.toMatchObject({ code: 'PAM_ROTATION_ATTENTION' });
  const lost = await restored.rotation.renewLease({ instance, gateway: gatewayUid(), lease, after: lease, nowMs });
  expect(lost).toEqual({ lost: true });
  const fresh = await restored.rotation.renewLease({
    instance,
    gateway: gatewayUid(),
    lease: null,
    after: lease,
    nowMs,
  });
  await start(restored, 'check', jobId('check'));
  const after = await claim(restored, jobId('check'), 'lease' in fresh ? fresh.lease : 0);
  const later = 'claimed' in after ? after.claimed.epoch : 0;
  expect(later).toBeGreaterThanOrEqual(2 * 2 ** 32);
  expect(later).toBeGreaterThan(epoch);
  const told = { router: 'router', start: 1, events: [] };
  await restored.rotation.finishJob({
    ...{ job: jobId('check'), epoch: later, instance, nowMs, outcome: 'done', why: 'opens' },
    ...{ note: null, recheckMs: [], told },
  });
  expect((await start(restored, 'rotate', jobId('again'))).state).toBe('queued');
  await restored.close();
});
