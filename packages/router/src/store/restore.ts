import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { type Head, PamError } from '@sallyport/protocol';
import type { ReplacedStore } from '../trust/index.ts';
import { storeFiles } from './open-store.ts';
import { SqliteEngine } from './sqlite-engine.ts';
import { holdLock } from './sqlite-lock.ts';

/**
 * Puts a backup in the place of the store, off line. The copy is checked, its schema brought up to date and its
 * incarnation raised before it takes the place, and it is marked: no new entry of the trust log before somebody reopens it. The store
 * that was there stays beside it as `router.sqlite.before-…`, and what its trust log had more is taken at the next start.
 *
 * @throws PAM_ROUTER_RUNNING, PAM_STORE_DAMAGED, PAM_STORE_SCHEMA_NEWER, PAM_NOT_FOUND; the old store is in place then.
 */
export function restoreStore(input: { readonly dataDir: string; readonly from: string; readonly nowMs: number }): {
  readonly incarnation: number;
  readonly kept: string | null;
} {
  if (!existsSync(input.from)) throw new PamError('PAM_NOT_FOUND', `there is no backup ${input.from}`);
  mkdirSync(input.dataDir, { recursive: true, mode: 0o700 });
  const { file, lockFile } = storeFiles(input.dataDir);
  const release = holdLock(lockFile);
  const fresh = `${file}.restoring`;
  try {
    discard(fresh);
    copyFileSync(input.from, fresh);
    chmodSync(fresh, 0o600);
    const incarnation = prepare(fresh, file, input.nowMs);
    const kept = existsSync(file) ? `${file}.before-${input.nowMs}` : null;
    if (kept !== null) moveStore(file, kept);
    renameSync(fresh, file);
    syncFolder(dirname(file));
    return { incarnation, kept };
  } finally {
    discard(fresh);
    release();
  }
}

/** Integrity and foreign keys of a store that no router uses. Empty when it is sound. */
export function checkStore(input: { readonly dataDir: string }): readonly string[] {
  const { file, lockFile } = storeFiles(input.dataDir);
  if (!existsSync(file)) throw new PamError('PAM_NOT_FOUND', `there is no store in ${input.dataDir}`);
  const release = holdLock(lockFile);
  try {
    const engine = new SqliteEngine(file);
    try {
      return engine.check();
    } finally {
      engine.close();
    }
  } finally {
    release();
  }
}

function prepare(file: string, replaced: string, nowMs: number): number {
  const engine = new SqliteEngine(file);
  try {
    const faults = engine.check();
    if (faults.length > 0) throw new PamError('PAM_STORE_DAMAGED', `the backup is damaged: ${faults[0] ?? ''}`);
    engine.migrate(nowMs);
    const [head] = engine.runCalls([{ concept: 'trust', method: 'headOfLog', input: {} }]) as [Head | null];
    const input = { replaced: leftBy(replaced, head?.n ?? 0), nowMs };
    const [incarnation] = engine.runCalls([{ concept: 'trust', method: 'markRestored', input }]) as [number];
    return incarnation;
  } finally {
    engine.close();
  }
}

/** Nothing when there is no store, or it is the damaged one that is being replaced. */
function leftBy(file: string, after: number): ReplacedStore {
  const nothing: ReplacedStore = { incarnation: 0, lastStart: 0, entries: [] };
  if (!existsSync(file)) return nothing;
  try {
    const engine = new SqliteEngine(file);
    try {
      const [left] = engine.runCalls([{ concept: 'trust', method: 'readReplaced', input: { after } }]);
      return left as ReplacedStore;
    } finally {
      engine.close();
    }
  } catch (reason) {
    if (reason instanceof PamError) return nothing;
    throw reason;
  }
}

function moveStore(from: string, to: string): void {
  for (const suffix of ['', '-wal', '-shm']) if (existsSync(from + suffix)) renameSync(from + suffix, to + suffix);
}

function discard(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
