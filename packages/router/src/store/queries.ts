import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import type { EngineName, Queries } from './act.ts';
import type { Database } from './schema.ts';

/** A statement builder for one engine; `locks: false` is a fault for tests. */
export function queriesFor(engine: EngineName, options: { readonly locks: boolean } = { locks: true }): Queries {
  const sqlite = engine === 'sqlite';
  const db = new Kysely<Database>({
    dialect: {
      createAdapter: () => (sqlite ? new SqliteAdapter() : new PostgresAdapter()),
      createDriver: () => new DummyDriver(),
      createIntrospector: (of) => (sqlite ? new SqliteIntrospector(of) : new PostgresIntrospector(of)),
      createQueryCompiler: () => (sqlite ? new SqliteQueryCompiler() : new PostgresQueryCompiler()),
    },
  });
  return { db, engine, locks: options.locks };
}
