import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { PamError } from '@sallyport/protocol';
import { isRead } from './acts/index.ts';
import type { StoreEngine } from './engine.ts';
import { type Call, type PortCalls, type Ports, portCalls, portsOver, type ResultsOf } from './ports.ts';
import { openPostgres } from './postgres-engine.ts';
import { openSqlite } from './sqlite-client.ts';
import { startStoreWorker } from './start-worker.ts';

export type StorePlace = { readonly dataDir: string } | { readonly databaseUrl: string };

export interface StoreDeps {
  readonly nowMs: () => number;
  /** The store is lost for good (its worker died): stop the process, acknowledged state is on disk. */
  readonly onFatal: (error: PamError) => void;
  /** Monotonic milliseconds, for `onRan`. */
  readonly monotonicMs?: () => number;
  /** After each transaction: whether it only read, whether it committed, how long it took. */
  readonly onRan?: (ran: { readonly isRead: boolean; readonly isDone: boolean; readonly ms: number }) => void;
  /** A database connection was lost; the next transaction makes another. */
  readonly onTrouble?: (reason: unknown) => void;
  /** The thread for the embedded store, when one was started already. */
  readonly worker?: Worker | null;
}

export interface Store extends Ports {
  readonly engine: 'sqlite' | 'postgres';
  /** Grows with every restore. */
  readonly incarnation: number;
  /**
   * Several methods in one transaction, in order, all or none; answers their results in order.
   *
   * @throws the first PamError of one of them; nothing was written then.
   */
  together<const Calls extends readonly Call<unknown>[]>(make: (calls: PortCalls) => Calls): Promise<ResultsOf<Calls>>;
  /** What is wrong with the stored data; empty when it is sound. */
  check(): Promise<readonly string[]>;
  /** A consistent copy while running, mode 0600; PAM_USAGE naming pg_dump on PostgreSQL. */
  backup(file: string): Promise<void>;
  close(): Promise<void>;
}

/** Names of the store's files inside the data folder. */
export function storeFiles(dataDir: string): { readonly file: string; readonly lockFile: string } {
  return { file: join(dataDir, 'router.sqlite'), lockFile: join(dataDir, 'router.lock') };
}

/**
 * Opens the store and brings its schema up to date.
 *
 * @throws PAM_ROUTER_RUNNING, PAM_STORE_SCHEMA_NEWER, PAM_STORE_DAMAGED, PAM_STORE_AWAY, PAM_CONFIG_INVALID
 */
export async function openStore(place: StorePlace, deps: StoreDeps): Promise<Store> {
  const engine =
    'dataDir' in place ? await openFolder(place.dataDir, deps) : await openDatabase(place.databaseUrl, deps);
  return storeOver(timed(engine, deps));
}

/** The engine, watched: a refusal by the transaction itself (a PamError other than PAM_STORE_AWAY) is an answer. */
function timed(engine: StoreEngine, { monotonicMs, onRan }: StoreDeps): StoreEngine {
  if (monotonicMs === undefined || onRan === undefined) return engine;
  return {
    ...engine,
    run: async (calls) => {
      const fromMs = monotonicMs();
      const tell = (isDone: boolean): void => onRan({ isRead: isRead(calls), isDone, ms: monotonicMs() - fromMs });
      try {
        const answer = await engine.run(calls);
        tell(true);
        return answer;
      } catch (reason) {
        tell(reason instanceof PamError && reason.code !== 'PAM_STORE_AWAY');
        throw reason;
      }
    },
  };
}

/** The store over an engine that is open. */
function storeOver(engine: StoreEngine): Store {
  const calls = portCalls();
  return {
    ...portsOver((given) => engine.run(given)),
    engine: engine.name,
    incarnation: engine.incarnation,
    together: async <const Calls extends readonly Call<unknown>[]>(make: (of: PortCalls) => Calls) =>
      (await engine.run(make(calls))) as unknown as ResultsOf<Calls>,
    check: () => engine.check(),
    backup: (file) => engine.backup(file),
    close: () => engine.close(),
  };
}

function openFolder(dataDir: string, deps: StoreDeps): Promise<StoreEngine> {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    chmodSync(dataDir, 0o700);
  } catch (reason) {
    throw new PamError('PAM_STORE_AWAY', `the data folder ${dataDir} cannot be made`, { cause: reason });
  }
  const worker = deps.worker ?? startStoreWorker(null);
  return openSqlite(worker, { ...storeFiles(dataDir), nowMs: deps.nowMs() }, deps.onFatal);
}

function openDatabase(databaseUrl: string, deps: StoreDeps): Promise<StoreEngine> {
  if (!/^postgres(ql)?:\/\//.test(databaseUrl)) {
    throw new PamError('PAM_CONFIG_INVALID', 'the database URL must begin with postgres://');
  }
  return openPostgres({ databaseUrl, nowMs: deps.nowMs, onTrouble: deps.onTrouble ?? (() => undefined) });
}
