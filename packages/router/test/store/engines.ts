import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PostgresServer, startPostgres, whyNoPostgres } from '@sallyport/testkit';
import { afterAll, beforeAll } from 'vitest';
import { testNowMs } from './engines-time.ts';
import { openStore, type Store, type StorePlace } from '../../src/store/index.ts';

/** One engine of the compliance suite: makes fresh places, opens stores in them, and closes all at the end. */
export interface EngineUnderTest {
  readonly name: string;
  /** Why its tests are skipped; null when they run. */
  readonly missing: string | null;
  freshPlace(): Promise<StorePlace>;
  open(place: StorePlace): Promise<Store>;
  fresh(): Promise<Store>;
}

const noPostgres = await whyNoPostgres();
if (noPostgres !== null) process.stderr.write(`skipped on PostgreSQL: ${noPostgres}\n`);

function deps(): Parameters<typeof openStore>[1] {
  return {
    nowMs: () => testNowMs,
    onFatal: (error) => {
      throw error;
    },
  };
}

function tracked(): Pick<EngineUnderTest, 'open'> & { closeAll(): Promise<void> } {
  const opened: Store[] = [];
  return {
    open: async (place) => {
      const store = await openStore(place, deps());
      opened.push(store);
      return store;
    },
    closeAll: async () => {
      await Promise.all(opened.map((store) => store.close().catch(() => undefined)));
    },
  };
}

export function sqliteUnderTest(): EngineUnderTest {
  const folders: string[] = [];
  const { open, closeAll } = tracked();
  afterAll(async () => {
    await closeAll();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
  const freshPlace = (): Promise<StorePlace> => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-store-'));
    folders.push(folder);
    return Promise.resolve({ dataDir: join(folder, 'data') });
  };
  return { name: 'SQLite', missing: null, freshPlace, open, fresh: async () => open(await freshPlace()) };
}

/** A database of a private server, started once a file. `settings` become the database's defaults. */
export function postgresUnderTest(
  settings: Readonly<Record<string, string>> = {},
  label = 'PostgreSQL',
): EngineUnderTest {
  let server: PostgresServer | null = null;
  let made = 0;
  const { open, closeAll } = tracked();
  beforeAll(async () => {
    if (noPostgres === null) server = await startPostgres();
  });
  afterAll(async () => {
    await closeAll();
    await server?.stop();
  });
  const freshPlace = async (): Promise<StorePlace> => {
    if (server === null) throw new Error('PostgreSQL is not running');
    made += 1;
    return { databaseUrl: await server.createDatabase(`store_${made}`, settings) };
  };
  return { name: label, missing: noPostgres, freshPlace, open, fresh: async () => open(await freshPlace()) };
}
