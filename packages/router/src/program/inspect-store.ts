import { chmodSync, closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { PamError } from '@sallyport/protocol';
import { storeFiles } from '../store/index.ts';
import { readRestoreMark, restoreSettings } from '../trust/index.ts';

/** What `pam-router check` reports. */
export interface StoreReport {
  readonly schema: string;
  /** When it was restored, if it still refuses new entries of the trust log; Unix milliseconds. */
  readonly closedSinceMs: number | null;
  readonly faults: readonly string[];
  /** Rows by table. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Opens the embedded store beside a running router: for reading only. */
function openReader(dataDir: string): DatabaseSync {
  const { file } = storeFiles(dataDir);
  if (!existsSync(file)) throw new PamError('PAM_NOT_FOUND', `there is no store in ${dataDir}`);
  try {
    return new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  } catch (reason) {
    throw new PamError('PAM_STORE_DAMAGED', `${file} cannot be opened`, { cause: reason });
  }
}

function texts(db: DatabaseSync, sql: string): string[] {
  return db
    .prepare(sql)
    .all()
    .map((row) => Object.values(row).map(String).join(' '));
}

/** Integrity, references, schema and counts of the embedded store, also while the router runs. */
export function inspectStore(dataDir: string): StoreReport {
  const db = openReader(dataDir);
  try {
    const integrity = texts(db, 'PRAGMA integrity_check(100)').filter((line) => line !== 'ok');
    const references = texts(db, 'PRAGMA foreign_key_check').map((line) => `broken reference: ${line}`);
    const tables = texts(
      db,
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    );
    const counts = tables.map((table) => [table, Number(texts(db, `SELECT count(*) FROM "${table}"`)[0])] as const);
    const [schema] = texts(db, 'SELECT name FROM migration ORDER BY n DESC LIMIT 1');
    const [text] = texts(db, `SELECT value FROM setting WHERE key = '${restoreSettings.mark}'`);
    const mark = readRestoreMark(text ?? null);
    return {
      schema: schema ?? 'none',
      closedSinceMs: mark?.closed === true ? mark.atMs : null,
      faults: [...integrity, ...references],
      counts: Object.fromEntries(counts),
    };
  } catch (reason) {
    throw PamError.from(reason, 'PAM_STORE_DAMAGED', 'the store cannot be read');
  } finally {
    db.close();
  }
}

/**
 * A consistent copy of the embedded store in one file, mode 0600, also while the router runs. Whole or not at all.
 *
 * @throws PAM_CONFLICT when `file` exists.
 */
export function backupStore(dataDir: string, file: string): void {
  if (existsSync(file)) {
    throw new PamError('PAM_CONFLICT', `${file} exists`, { remedy: 'Name another file, or move this one away.' });
  }
  const fresh = `${file}.partial`;
  const db = openReader(dataDir);
  try {
    rmSync(fresh, { force: true });
    closeSync(openSync(fresh, 'wx', 0o600));
    db.prepare('VACUUM INTO ?').run(fresh);
    chmodSync(fresh, 0o600);
    const handle = openSync(fresh, 'r');
    fsyncSync(handle);
    closeSync(handle);
    renameSync(fresh, file);
  } catch (reason) {
    rmSync(fresh, { force: true });
    throw new PamError('PAM_STORE_AWAY', `the backup could not be written to ${file}`, { cause: reason });
  } finally {
    db.close();
  }
}
