import { randomUUID } from 'node:crypto';
import { PamError } from '@sallyport/protocol';
import type { CompiledQuery } from 'kysely';
import pg from 'pg';
import { type Act, driveAsync, first, type Queries, type Rows, run } from './act.ts';
import { type ActCall, actOf, isRead } from './acts/index.ts';
import type { StoreEngine } from './engine.ts';
import { migrate, readIncarnation } from './migrations.ts';
import { queriesFor } from './queries.ts';
import { fromPostgres, isDisconnect, isRetryable, sqlStateOf } from './store-fault.ts';

/** Connections of one router; admissions of one gateway wait for each other anyway. */
const connections = 10;
/** Deadlocks and serialisation failures are run again this often, lost connections this often. */
const retries = { conflict: 20, disconnect: 3 } as const;
/** Keys of finished transactions are kept this long; a retry comes within seconds. */
const keysKeptMs = 3_600_000;

const int8 = 20;

/** bigint columns and count(*) as numbers; over 2^53 is refused. */
function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new PamError('PAM_INTERNAL', 'the store holds a number over 2^53');
  return value;
}

const types: pg.CustomTypesConfig = {
  getTypeParser: (id, format) => (id === int8 && format !== 'binary' ? parseInt8 : pg.types.getTypeParser(id, format)),
};

export interface PostgresOptions {
  readonly databaseUrl: string;
  readonly nowMs: () => number;
  /** Connection lost while idle, and such; the next transaction makes another. */
  readonly onTrouble: (reason: unknown) => void;
  /** Faults for tests. */
  readonly queries?: Queries;
}

/**
 * PostgreSQL 15 or newer. Every transaction names READ COMMITTED, whatever `default_transaction_isolation` says: under
 * REPEATABLE READ the snapshot is older than the lock and everybody is admitted (F6). Each writing transaction leaves
 * its key beside its result, so that a lost COMMIT answer is settled by asking again and admits nobody twice.
 */
export async function openPostgres(options: PostgresOptions): Promise<StoreEngine> {
  const q = options.queries ?? queriesFor('postgres');
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: connections,
    types,
    connectionTimeoutMillis: 10_000,
    application_name: 'sallyport-router',
  });
  pool.on('error', options.onTrouble);

  const inTransaction = async <T>(mode: 'READ WRITE' | 'READ ONLY', act: () => Act<T>): Promise<T> => {
    const client = await pool.connect();
    client.on('error', options.onTrouble);
    let broken = true;
    try {
      await client.query(`START TRANSACTION ISOLATION LEVEL READ COMMITTED ${mode}`);
      const result = await driveAsync(act(), (statement) => execute(client, statement));
      await client.query('COMMIT');
      broken = false;
      return result;
    } catch (reason) {
      broken = !(await rolledBack(client));
      throw reason;
    } finally {
      client.removeListener('error', options.onTrouble);
      client.release(broken);
    }
  };

  const attempt = async <T>(
    act: () => Act<T>,
    mode: 'READ WRITE' | 'READ ONLY',
    onUnknown: () => void = () => undefined,
  ): Promise<T> => {
    let conflicts = 0;
    let disconnects = 0;
    for (;;) {
      try {
        return await inTransaction(mode, act);
      } catch (reason) {
        if (reason instanceof PamError) throw reason;
        const state = sqlStateOf(reason);
        if (isRetryable(state) && conflicts++ < retries.conflict) continue;
        if (!isDisconnect(state)) throw fromPostgres(reason);
        onUnknown();
        if (disconnects++ >= retries.disconnect) throw fromPostgres(reason);
      }
    }
  };

  const settled = (key: string): Promise<string | undefined> =>
    attempt(function* () {
      const row = yield* first(q.db.selectFrom('idempotency').select('result').where('key', '=', key));
      return row?.result;
    }, 'READ ONLY');

  /** A try whose answer was lost may have been committed; whatever its repetition says, the key tells. */
  const runOnce = async (calls: readonly ActCall[]): Promise<readonly unknown[]> => {
    const key = randomUUID();
    let unknown = false;
    try {
      return await attempt(
        () => keyed(q, key, calls, options.nowMs()),
        'READ WRITE',
        () => {
          unknown = true;
        },
      );
    } catch (reason) {
      const result = unknown ? await settled(key) : undefined;
      if (result === undefined) throw reason;
      return JSON.parse(result) as readonly unknown[];
    }
  };

  try {
    await attempt(() => migrate(q, options.nowMs()), 'READ WRITE');
    const incarnation = await attempt(() => readIncarnation(q), 'READ ONLY');
    await attempt(() => sweepKeys(q, options.nowMs() - keysKeptMs), 'READ WRITE');
    return {
      name: 'postgres',
      incarnation,
      run: (calls) => (isRead(calls) ? attempt(() => together(q, calls), 'READ ONLY') : runOnce(calls)),
      check: async () => [],
      backup: () =>
        Promise.reject(
          new PamError('PAM_USAGE', 'a PostgreSQL store is backed up with its own tool', {
            remedy: 'Run: pg_dump --format=custom --file=FILE "$SALLYPORT_DATABASE_URL"',
          }),
        ),
      close: () => pool.end(),
    };
  } catch (reason) {
    await pool.end();
    throw reason;
  }
}

function* together(q: Queries, calls: readonly ActCall[]): Act<readonly unknown[]> {
  const results: unknown[] = [];
  for (const call of calls) results.push((yield* actOf(q, call)) ?? null);
  return results;
}

/** The calls, then their key: of two tries of one transaction the second waits here for the first, then undoes itself. */
function* keyed(q: Queries, key: string, calls: readonly ActCall[], nowMs: number): Act<readonly unknown[]> {
  const results = yield* together(q, calls);
  const added = yield* run(
    q.db
      .insertInto('idempotency')
      .values({ key, result: JSON.stringify(results), at_ms: nowMs })
      .onConflict((on) => on.doNothing()),
  );
  if (added === 0) throw new PamError('PAM_CONFLICT', 'this transaction was committed before');
  return results;
}

function* sweepKeys(q: Queries, beforeMs: number): Act<number> {
  return yield* run(q.db.deleteFrom('idempotency').where('at_ms', '<', beforeMs));
}

async function execute(client: pg.PoolClient, statement: CompiledQuery): Promise<Rows> {
  const answer = await client.query(statement.sql, [...statement.parameters]);
  return { rows: answer.rows, affected: answer.rowCount ?? 0 };
}

async function rolledBack(client: pg.PoolClient): Promise<boolean> {
  try {
    await client.query('ROLLBACK');
    return true;
  } catch (reason) {
    return sqlStateOf(reason) !== null;
  }
}
