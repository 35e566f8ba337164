import { describe, expect, test } from 'vitest';
import { readRestoreMark, restoreSettings } from '../../src/trust/index.ts';
import { type EngineUnderTest, postgresUnderTest, sqliteUnderTest } from './engines.ts';
import { testNowMs as nowMs } from './engines-time.ts';
import { appUid, gatewayUid, hash, join } from './samples.ts';

const nothing = { incarnation: 0, lastStart: 0, entries: [] };
const row = (n: number) => ({ n, hash: hash(`entry-${n}`), entry: `a.b.${n}` });

function marksOn(engine: EngineUnderTest): void {
  describe.skipIf(engine.missing !== null)(`a store on ${engine.name}`, () => {
    test('that was put in the place of a newer one is marked, above every number that was given', async () => {
      const place = await engine.freshPlace();
      const store = await engine.open(place);
      await store.trust.appendEntries({ expected: null, entries: [row(0), row(1)], nowMs });
      await store.pool.createGateway({ uid: gatewayUid(), app: appUid(), maxInstances: 2, token: null, nowMs });
      await store.pool.admit(join('a'));
      await store.identity.writeSetting({ key: 'last-start', value: String(nowMs + 7) });
      expect(await store.trust.markRestored({ replaced: nothing, nowMs })).toBe(2);
      const mark = readRestoreMark(await store.identity.readSetting({ key: restoreSettings.mark }));
      expect(mark).toMatchObject({
        ...{ incarnation: 2, atMs: nowMs, closed: true, lastStart: nowMs + 7 },
        before: { n: 1, hash: hash('entry-1') },
        members: [{ gateway: gatewayUid(), deviceName: 'h1' }],
      });
      const replaced = { incarnation: 5, lastStart: nowMs + 90, entries: [row(1), row(2)] };
      expect(await store.trust.markRestored({ replaced, nowMs })).toBe(6);
      expect(await store.identity.readSetting({ key: 'last-start' })).toBe(String(nowMs + 90));
      expect(await store.identity.readSetting({ key: restoreSettings.entries })).toBe('["a.b.2"]');
      await store.close();
      expect((await engine.open(place)).incarnation).toBe(6);
    });

    test('keeps nothing of a log that is another one', async () => {
      const store = await engine.fresh();
      await store.trust.appendEntries({ expected: null, entries: [row(0)], nowMs });
      const replaced = { ...nothing, entries: [{ ...row(0), hash: hash('other') }, row(1)] };
      await store.trust.markRestored({ replaced, nowMs });
      expect(await store.identity.readSetting({ key: restoreSettings.entries })).toBe('');
    });

    test('is reopened once, and one without an owner is never closed', async () => {
      const store = await engine.fresh();
      await store.trust.markRestored({ replaced: nothing, nowMs });
      expect(await store.identity.readSetting({ key: restoreSettings.mark })).toBeNull();
      expect(await store.trust.reopenStore({})).toBe(false);
      await store.trust.appendEntries({ expected: null, entries: [row(0)], nowMs });
      await store.trust.markRestored({ replaced: nothing, nowMs });
      expect([await store.trust.reopenStore({}), await store.trust.reopenStore({})]).toEqual([true, false]);
    });

    test('takes facts above those that were lost, by exactly one', async () => {
      const store = await engine.fresh();
      const { application, record, sealedPart } = await import('./samples.ts');
      const put = (rev: number, aboveFacts?: number) =>
        store.vault.putItems({
          items: [record('machine', { parts: { facts: sealedPart(rev) } })],
          ...{ author: 'a', nowMs },
          ...(aboveFacts === undefined ? {} : { aboveFacts }),
        });
      await store.vault.putItems({ items: [application()], author: 'a', nowMs });
      await put(1);
      await expect(put(7, 5)).rejects.toMatchObject({ code: 'PAM_CONFLICT' });
      await expect(put(2, 5)).rejects.toMatchObject({ code: 'PAM_CONFLICT' });
      expect((await put(6, 5))[0]?.parts.facts?.rev).toBe(6);
      expect((await put(7))[0]?.parts.facts?.rev).toBe(7);
    });
  });
}

marksOn(sqliteUnderTest());
marksOn(postgresUnderTest());

test('a mark that is not understood stops a router: it must not take what it should refuse', () => {
  expect(() => readRestoreMark('{"closed":false}')).toThrow(expect.objectContaining({ code: 'PAM_STORE_DAMAGED' }));
  expect(readRestoreMark(null)).toBeNull();
});
