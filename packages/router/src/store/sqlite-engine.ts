import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { PamError } from '@sallyport/protocol';
import type { CompiledQuery } from 'kysely';
import { type Act, drive, type Queries, type Rows } from './act.ts';
import { type ActCall, actOf, isRead } from './acts/index.ts';
import { migrate, readIncarnation } from './migrations.ts';
import { queriesFor } from './queries.ts';
import { fromSqlite, isSqliteFault } from './store-fault.ts';

/** What happened to one request of a batch. */
export type Outcome = { readonly results: readonly unknown[] } | { readonly error: PamError };

/** Prepared statements kept, the oldest goes first; a cycle of all acts uses about a hundred. */
const statementsKept = 512;

interface Prepared {
  readonly statement: StatementSync;
  /** Whether it has rows to answer. */
  readonly answers: boolean;
}

/**
 * SQLite through `node:sqlite`, in the thread it is called in: the worker's, or a simulation's with `:memory:`.
 *
 * WAL and `synchronous = FULL`: a commit that was answered survives kill -9 and power loss (store.md). Requests that
 * arrive together share one commit, each under a savepoint of its own, and are answered only after it (F20).
 */
export class SqliteEngine {
  readonly #db: DatabaseSync;
  readonly #q: Queries;
  readonly #statements = new Map<string, Prepared>();

  constructor(file: string, q: Queries = queriesFor('sqlite')) {
    this.#q = q;
    try {
      if (file !== ':memory:') makePrivate(file);
      this.#db = new DatabaseSync(file, { enableForeignKeyConstraints: true, timeout: 5_000 });
      this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;');
    } catch (reason) {
      throw fromSqlite(reason);
    }
  }

  migrate(nowMs: number): void {
    this.#transaction('BEGIN IMMEDIATE', () => drive(migrate(this.#q, nowMs), this.#execute));
  }

  incarnation(): number {
    return this.runAct(readIncarnation(this.#q));
  }

  /** One act in a transaction of its own. */
  runAct<T>(act: Act<T>): T {
    return this.#transaction('BEGIN IMMEDIATE', () => drive(act, this.#execute));
  }

  /** One request in a transaction of its own. */
  runCalls(calls: readonly ActCall[]): readonly unknown[] {
    return this.#transaction(isRead(calls) ? 'BEGIN' : 'BEGIN IMMEDIATE', () => this.#calls(calls));
  }

  /** Many requests, one commit. A request that fails undoes itself only; a commit that fails fails them all. */
  runBatch(requests: readonly (readonly ActCall[])[]): readonly Outcome[] {
    const [only] = requests;
    if (only === undefined) return [];
    try {
      if (requests.length === 1) return [{ results: this.runCalls(only) }];
      const begin = requests.every(isRead) ? 'BEGIN' : 'BEGIN IMMEDIATE';
      return this.#transaction(begin, () => requests.map((calls) => this.#inSavepoint(calls)));
    } catch (reason) {
      return requests.map(() => ({ error: fromSqlite(reason) }));
    }
  }

  /** What is wrong with the file; empty when it is sound. */
  check(): readonly string[] {
    try {
      const broken = this.#db.prepare('PRAGMA integrity_check').all();
      const orphans = this.#db.prepare('PRAGMA foreign_key_check').all();
      return [
        ...broken.map((row) => String(row['integrity_check'])).filter((text) => text !== 'ok'),
        ...orphans.map((row) => `a row of ${String(row['table'])} refers to a missing row of ${String(row['parent'])}`),
      ];
    } catch (reason) {
      const fault = fromSqlite(reason);
      if (fault.code !== 'PAM_STORE_DAMAGED') throw fault;
      return [`the file cannot be read through: ${reason instanceof Error ? reason.message : fault.message}`];
    }
  }

  /** A consistent copy while running; `file` must not exist, or be empty. */
  backup(file: string): void {
    try {
      makePrivate(file);
      this.#db.prepare('VACUUM INTO ?').run(file);
    } catch (reason) {
      throw fromSqlite(reason);
    }
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  #inSavepoint(calls: readonly ActCall[]): Outcome {
    this.#db.exec('SAVEPOINT request');
    try {
      const results = this.#calls(calls);
      this.#db.exec('RELEASE request');
      return { results };
    } catch (reason) {
      // A fault of the file (full, I/O) has rolled back everything: let the whole batch fail.
      if (isSqliteFault(reason)) throw reason;
      this.#db.exec('ROLLBACK TO request; RELEASE request');
      return { error: fromSqlite(reason) };
    }
  }

  #calls(calls: readonly ActCall[]): readonly unknown[] {
    return calls.map((call) => drive(actOf(this.#q, call), this.#execute));
  }

  #transaction<T>(begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: () => T): T {
    try {
      this.#db.exec(begin);
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (reason) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw fromSqlite(reason);
    }
  }

  readonly #execute = (compiled: CompiledQuery): Rows => {
    const { statement, answers } = this.#prepare(compiled.sql);
    const parameters = compiled.parameters.map(sqliteParameter);
    if (answers) {
      const rows = statement.all(...parameters);
      return { rows, affected: rows.length };
    }
    return { rows: [], affected: Number(statement.run(...parameters).changes) };
  };

  #prepare(sql: string): Prepared {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#db.prepare(sql);
    const made = { statement, answers: statement.columns().length > 0 };
    const oldest = this.#statements.keys().next();
    if (this.#statements.size >= statementsKept && oldest.done === false) this.#statements.delete(oldest.value);
    this.#statements.set(sql, made);
    return made;
  }
}

/** Makes the file for its owner only; SQLite gives its WAL the same mode. */
function makePrivate(file: string): void {
  closeSync(openSync(file, 'a', 0o600));
}

/**
 * Refuses what node:sqlite would swallow without a word: an object in first place is taken for named parameters, NaN
 * becomes NULL (proven 6).
 */
export function sqliteParameter(value: unknown): SQLInputValue {
  if (typeof value === 'string' || value === null || value instanceof Uint8Array) return value;
  if (typeof value === 'number' && Number.isFinite(value)) {
    // Whole numbers bind as INTEGER, not REAL.
    return Number.isSafeInteger(value) ? BigInt(value) : value;
  }
  if (typeof value === 'bigint') return value;
  if (typeof value === 'boolean') return value ? 1n : 0n;
  throw new PamError('PAM_INTERNAL', `a statement was given a ${typeof value} as parameter`);
}
