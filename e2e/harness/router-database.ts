import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';

/** The database of a stopped router, in the hands of somebody who may write whatever he likes into it. */
export interface RouterDatabase {
  all(sql: string, ...values: readonly SQLInputValue[]): readonly Readonly<Record<string, unknown>>[];
  /** Throws unless at least one row was changed: a lie that is not told proves nothing. */
  change(sql: string, ...values: readonly SQLInputValue[]): void;
}

/** Opens the database of a stopped router, lets `edit` lie, and closes it. */
export function editRouterDatabase(dataDir: string, edit: (database: RouterDatabase) => void): void {
  const database = new DatabaseSync(join(dataDir, 'router.sqlite'));
  try {
    edit({
      all: (sql, ...values) => database.prepare(sql).all(...values),
      change: (sql, ...values) => {
        const { changes } = database.prepare(sql).run(...values);
        if (Number(changes) === 0) throw new Error(`no row was changed by: ${sql}`);
      },
    });
  } finally {
    database.close();
  }
}
