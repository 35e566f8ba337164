import { retireWaitMs } from '@sallyport/rotation';
import { describe, expect, test } from 'vitest';
import type { Store } from '../../src/store/index.ts';
import { postgresUnderTest, sqliteUnderTest } from './engines.ts';
import { testNowMs } from './engines-time.ts';
import {
  claimOf,
  jobId,
  kept,
  leaseOf,
  newOrder,
  noEvents,
  note,
  one,
  putUsers,
  startOne,
  user,
} from './rotation-samples.ts';

const [firstMs, secondMs] = [retireWaitMs(0) ?? 0, retireWaitMs(1) ?? 0];

/** Claims a job; the calls of its holder. */
async function hold(store: Store, job: string, lease: number, nowMs: number) {
  const { claimed } = kept(await store.rotation.claimJob(claimOf(job, lease, { nowMs })));
  const at = { job: jobId(job), epoch: claimed.epoch, instance: one, nowMs };
  return {
    claimed,
    report: async (what: Parameters<Store['rotation']['reportStep']>[0]['what'], key: string) =>
      kept(await store.rotation.reportStep({ ...at, key, what, note })),
    finish: async (outcome: 'done' | 'failed', why: 'not-retired' | 'retired' | 'unreachable' | 'denied') =>
      kept(await store.rotation.finishJob({ ...at, outcome, why, note, recheckMs: [], told: noEvents })),
    at,
  };
}

/** A rotation that put a secret beside the one before, up to its promotion. */
async function promoted(store: Store, nowMs: number, outcome: 'applied' | 'denied' = 'applied') {
  await putUsers(store, ['user'], nowMs);
  const lease = await leaseOf(store, one, 0, nowMs);
  await startOne(store, newOrder('job', { nowMs }));
  const by = await hold(store, 'job', lease, nowMs);
  const { at } = by;
  kept(
    await store.rotation.stageVersion({
      ...at,
      key: 'stage-01',
      rev: 2,
      gen: 1,
      envelope: 'candidate'.padEnd(32, '_'),
    }),
  );
  const { send } = kept(
    await store.rotation.permitSend({ ...at, key: 'permit-1', mark: 0, adds: true, address: note }),
  );
  await by.report({ kind: 'wrote', send, outcome }, 'report-1');
  if (outcome === 'denied') return { by, lease };
  await by.report({ kind: 'verified', version: 1, send }, 'report-2');
  kept(await store.rotation.promoteVersion({ ...at, version: 1, promoted: noEvents, edited: noEvents }));
  return { by, lease };
}

const leftoverOf = async (store: Store, nowMs: number) =>
  (await store.rotation.readRotation({ record: user, nowMs })).account?.leftover;
const countOf = async (store: Store) =>
  (await store.rotation.countJobs({})).filter(({ state }) => state === 'leftover').map(({ count }) => count);
const planned = async (store: Store, nowMs: number) => (await store.rotation.listDue({ nowMs, limit: 10 })).rechecks;

describe.each([sqliteUnderTest(), postgresUnderTest()])('what is left over, on $name', (engine) => {
  const on = test.skipIf(engine.missing !== null);

  on(
    '[R10] it is shown and counted from the end of the run on, and tried again after longer waits, until it is removed',
    async () => {
      const store = await engine.fresh();
      const nowMs = testNowMs;
      const { by, lease } = await promoted(store, nowMs);
      expect(await countOf(store)).toEqual([]);
      await by.finish('done', 'not-retired');
      expect(await leftoverOf(store, nowMs)).toEqual({ tries: 0, nextTryMs: nowMs + firstMs });
      expect(await countOf(store)).toEqual([1]);
      expect(await planned(store, nowMs + firstMs - 1)).toEqual([]);

      const [id = ''] = await planned(store, nowMs + firstMs);
      const againMs = nowMs + firstMs;
      expect(await store.rotation.runRecheck({ id, job: jobId('retire1'), nowMs: againMs })).toBe(jobId('retire1'));
      expect(await store.rotation.getJob({ job: jobId('retire1') })).toMatchObject({ kind: 'retire', order: null });
      // At work it is no condition: its end says more.
      const first = await hold(store, 'retire1', lease, againMs);
      expect(first.claimed).toMatchObject({ step: 'new', current: 1, candidate: null });
      expect(await countOf(store)).toEqual([]);
      await first.finish('failed', 'unreachable');
      expect(await leftoverOf(store, againMs)).toEqual({ tries: 1, nextTryMs: againMs + secondMs });

      // Nobody takes the next: every instance refuses it before it was claimed.
      const thirdMs = againMs + secondMs;
      const [next = ''] = await planned(store, thirdMs);
      await store.rotation.runRecheck({ id: next, job: jobId('retire2'), nowMs: thirdMs });
      const denied = {
        job: jobId('retire2'),
        instance: null,
        why: 'order-spent',
        note: null,
        told: noEvents,
        nowMs: thirdMs,
      } as const;
      expect(await store.rotation.denyJob(denied)).toMatchObject({ denied: true });
      expect(await leftoverOf(store, thirdMs)).toMatchObject({ tries: 2 });

      await startOne(store, newOrder('hand', { kind: 'retire', nowMs: thirdMs }));
      const last = await hold(store, 'hand', lease, thirdMs);
      await last.report({ kind: 'retired', version: 1 }, 'retired-1');
      await last.finish('done', 'retired');
      expect(await leftoverOf(store, thirdMs)).toBeNull();
      expect(await countOf(store)).toEqual([]);
      expect(await planned(store, thirdMs + 30 * 86_400_000)).toEqual([]);
    },
  );

  on('[R10] it is not tried for ever, and says so', async () => {
    const store = await engine.fresh();
    let nowMs = testNowMs;
    const { by, lease } = await promoted(store, nowMs);
    await by.finish('done', 'not-retired');
    let tries = 0;
    for (; retireWaitMs(tries) !== null; tries += 1) {
      nowMs += retireWaitMs(tries) ?? 0;
      const [id = ''] = await planned(store, nowMs);
      await store.rotation.runRecheck({ id, job: jobId(`retire${tries}`), nowMs });
      await (await hold(store, `retire${tries}`, lease, nowMs)).finish('failed', 'unreachable');
    }
    expect(await leftoverOf(store, nowMs)).toEqual({ tries, nextTryMs: null });
    expect(await planned(store, nowMs + 30 * 86_400_000)).toEqual([]);
  });

  on('[R10] a run that removed it, or that changed nothing, leaves nothing over', async () => {
    const store = await engine.fresh();
    const { by } = await promoted(store, testNowMs);
    await by.report({ kind: 'retired', version: 1 }, 'retired-1');
    await by.finish('done', 'retired');
    expect(await leftoverOf(store, testNowMs)).toBeNull();

    const other = await engine.fresh();
    const denied = await promoted(other, testNowMs, 'denied');
    await denied.by.finish('failed', 'denied');
    expect(await leftoverOf(other, testNowMs)).toBeNull();
    expect(await planned(other, testNowMs + firstMs)).toEqual([]);
  });
});
