import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { PamError } from '@sallyport/protocol';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkStore, openStore, restoreStore, type Store, storeFiles } from '../../src/store/index.ts';
import { migrate } from '../../src/store/migrations.ts';
import { queriesFor } from '../../src/store/queries.ts';
import { SqliteEngine, sqliteParameter } from '../../src/store/sqlite-engine.ts';
import { testNowMs } from './engines-time.ts';
import { appUid, gatewayUid, join } from './samples.ts';

const nowMs = testNowMs;
let folder = '';
const opened: Store[] = [];

beforeEach(() => {
  folder = mkdtempSync(joinPath(tmpdir(), 'sallyport-file-'));
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
  rmSync(folder, { recursive: true, force: true });
});

async function open(dataDir = folder): Promise<Store> {
  const fatal = (error: PamError): void => expect.unreachable(error.message);
  const store = await openStore({ dataDir }, { nowMs: () => nowMs, onFatal: fatal });
  opened.push(store);
  return store;
}

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return 'nothing was thrown';
  } catch (reason) {
    return (reason as PamError).code;
  }
}

test('a second router on the same folder is refused, and not when the first has closed', async () => {
  const first = await open();
  expect(await codeOf(() => open())).toBe('PAM_ROUTER_RUNNING');
  expect(await codeOf(() => checkStore({ dataDir: folder }))).toBe('PAM_ROUTER_RUNNING');
  await first.close();
  await open();
});

test('the files are for their owner only', async () => {
  const store = await open();
  await store.identity.writeSetting({ key: 'k', value: 'v' });
  const { file } = storeFiles(folder);
  for (const name of [file, `${file}-wal`]) expect(statSync(name).mode & 0o777).toBe(0o600);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
});

test('a request that fails undoes itself and nothing of those in the same commit', async () => {
  const store = await open();
  const writes = Array.from({ length: 50 }, (_, i) =>
    store.together((t) =>
      i % 5 === 0
        ? [t.identity.writeSetting({ key: `k${i}`, value: 'v' }), t.vault.removeItem({ uid: appUid(), nowMs })]
        : [t.identity.writeSetting({ key: `k${i}`, value: 'v' })],
    ),
  );
  const outcomes = await Promise.allSettled(writes);
  expect(outcomes.map((outcome) => outcome.status === 'fulfilled')).toEqual(writes.map((_, i) => i % 5 !== 0));
  const found = await Promise.all(writes.map((_, i) => store.identity.readSetting({ key: `k${i}` })));
  expect(found.map((value) => value === 'v')).toEqual(writes.map((_, i) => i % 5 !== 0));
});

test('a store of a newer program is refused and left as it is', async () => {
  await (await open()).close();
  const { file } = storeFiles(folder);
  const db = new DatabaseSync(file);
  db.exec("INSERT INTO migration (n, name, at_ms) SELECT MAX(n) + 1, '9999_from_the_future', 0 FROM migration");
  db.close();
  expect(await codeOf(() => open())).toBe('PAM_STORE_SCHEMA_NEWER');
});

test('a migration that fails half way leaves nothing behind', () => {
  const engine = new SqliteEngine(':memory:');
  const broken = [{ name: '0001_broken', statements: ['CREATE TABLE a (x INTEGER)', 'CREATE TABLE a (x INTEGER)'] }];
  expect(() => engine.runAct(migrate(queriesFor('sqlite'), nowMs, broken))).toThrow('the store failed');
  engine.migrate(nowMs);
  expect(engine.check()).toEqual([]);
});

test('a file that is no store, or is damaged, is said to be', async () => {
  const { file } = storeFiles(folder);
  writeFileSync(file, 'this is no database, whatever its name says; it is long enough to be looked at'.repeat(20));
  expect(await codeOf(() => open())).toBe('PAM_STORE_DAMAGED');
});

test('a backup of a running store is whole, private, and restores with greater epochs', async () => {
  const store = await open();
  const gateway = gatewayUid();
  await store.pool.createGateway({ uid: gateway, app: appUid(), maxInstances: 2, token: null, nowMs });
  const before = await store.pool.admit(join('a'));
  const copy = joinPath(folder, 'copy.sqlite');
  await store.backup(copy);
  expect(statSync(copy).mode & 0o777).toBe(0o600);
  await store.identity.writeSetting({ key: 'later', value: 'v' });
  expect(await codeOf(() => restoreStore({ dataDir: folder, from: copy, nowMs }))).toBe('PAM_ROUTER_RUNNING');
  await store.close();

  const restored = restoreStore({ dataDir: folder, from: copy, nowMs });
  expect(restored.incarnation).toBe(2);
  expect(statSync(restored.kept ?? '').isFile()).toBe(true);
  expect(checkStore({ dataDir: folder })).toEqual([]);
  const again = await open();
  expect(again.incarnation).toBe(2);
  expect(await again.identity.readSetting({ key: 'later' })).toBeNull();
  const after = await again.pool.admit(join('b'));
  const epoch = (answer: typeof before): number => (answer?.outcome.kind === 'slot' ? answer.outcome.epoch : 0);
  expect(epoch(after)).toBeGreaterThan(epoch(before) + 2 ** 31);
});

test('restoring the same backup twice still raises the incarnation', async () => {
  const store = await open();
  const copy = joinPath(folder, 'copy.sqlite');
  await store.backup(copy);
  await store.close();
  const incarnations = [1, 2, 3].map(
    (i) => restoreStore({ dataDir: folder, from: copy, nowMs: nowMs + i }).incarnation,
  );
  expect(incarnations).toEqual([2, 3, 4]);
});

test('a damaged backup is refused and the store stays in place', async () => {
  const store = await open();
  for (let i = 0; i < 200; i += 1) await store.identity.writeSetting({ key: `k${i}`, value: 'v'.repeat(200) });
  const copy = joinPath(folder, 'copy.sqlite');
  await store.backup(copy);
  await store.close();
  const bytes = readFileSync(copy);
  bytes.fill(0xff, 8_192, 12_288);
  writeFileSync(copy, bytes);
  expect(await codeOf(() => restoreStore({ dataDir: folder, from: copy, nowMs }))).toBe('PAM_STORE_DAMAGED');
  expect(await (await open()).identity.readSetting({ key: 'k7' })).toBe('v'.repeat(200));
});

test.each([[new Date()], [undefined], [Number.NaN], [{ a: 1 }], [Number.POSITIVE_INFINITY]])(
  'a parameter that SQLite would swallow is refused: %s',
  (value) => {
    expect(() => sqliteParameter(value)).toThrow('a statement was given');
  },
);

test('whole numbers stay whole', () => {
  const engine = new SqliteEngine(':memory:');
  const compiled = { sql: 'SELECT typeof(?) AS a, typeof(?) AS b', parameters: [7, 'x'] };
  const rows = engine.runAct(
    (function* () {
      return (yield compiled as never).rows;
    })(),
  );
  expect(rows).toEqual([{ a: 'integer', b: 'text' }]);
});
