import type { CompiledQuery, Kysely } from 'kysely';
import type { Database } from './schema.ts';

/** What a statement answered. `affected` counts rows of insert, update and delete. */
export interface Rows {
  readonly rows: readonly unknown[];
  readonly affected: number;
}

/**
 * One transaction as a generator: it yields statements and gets their rows. It holds no connection and cannot await
 * anything, so the SQLite worker runs it in one go, the PostgreSQL engine with one `await` a statement, and a simulation
 * in its own thread: one set of queries, and no way to use the wrong connection inside a transaction (ADR 0002).
 */
export type Act<T> = Generator<CompiledQuery, T, Rows>;

export type EngineName = 'sqlite' | 'postgres';

/** What acts build statements with. It only compiles: nothing can be executed through it. */
export interface Queries {
  readonly db: Kysely<Database>;
  readonly engine: EngineName;
  /** `false` takes the lock out of deciding transactions. Tests plant this fault to see that they notice. */
  readonly locks: boolean;
}

interface Compilable<O> {
  compile(): CompiledQuery<O>;
}

/** In the place of a value of a prepared statement. */
class Slot {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/**
 * A statement that is built once and run with other values each time: to build one takes longer than SQLite needs to run
 * most of them. `build` sees a slot for each value, so it must not look at them, and lists have as many members each time.
 */
export function prepared<Values extends object, O>(
  build: (db: Kysely<Database>, values: Values) => Compilable<O>,
): (q: Queries, values: Values) => Compilable<O> {
  const slots = new Proxy({}, { get: (_, name) => new Slot(String(name)) }) as Values;
  const built = new WeakMap<Queries, CompiledQuery<O>>();
  return (q, values) => {
    let known = built.get(q);
    if (known === undefined) {
      known = build(q.db, slots).compile();
      built.set(q, known);
    }
    const { parameters, ...statement } = known;
    return {
      compile: () => ({
        ...statement,
        parameters: parameters.map((of) => (of instanceof Slot ? (Reflect.get(values, of.name) as unknown) : of)),
      }),
    };
  };
}

/** All rows of a statement. */
export function* all<O>(statement: Compilable<O>): Act<O[]> {
  const answer = yield statement.compile();
  return [...answer.rows] as O[];
}

/** The first row, or undefined. */
export function* first<O>(statement: Compilable<O>): Act<O | undefined> {
  return (yield* all(statement))[0];
}

/** Runs a statement for its effect; answers how many rows it touched. */
export function* run(statement: Compilable<unknown>): Act<number> {
  return (yield statement.compile()).affected;
}

/** Acts of one port: a method of the same name, one input object, the same answer. */
export type ActsOf<Port> = {
  readonly [Method in keyof Port]: Port[Method] extends (input: infer Input) => Promise<infer Output>
    ? (q: Queries, input: Input) => Act<Output>
    : never;
};

/** Runs an act to its end over a connection that answers at once. */
export function drive<T>(act: Act<T>, execute: (statement: CompiledQuery) => Rows): T {
  let step = act.next();
  while (step.done !== true) step = act.next(execute(step.value));
  return step.value;
}

/** The same over one that answers later. */
export async function driveAsync<T>(act: Act<T>, execute: (statement: CompiledQuery) => Promise<Rows>): Promise<T> {
  let step = act.next();
  while (step.done !== true) step = act.next(await execute(step.value));
  return step.value;
}
