import { gatewayUidSchema, rotationTroubleSchema } from '@sallyport/protocol';
import { type RotationStore, type StoredJob, troubleAfter } from '../../rotation/index.ts';
import { type Act, type ActsOf, all, first, prepared, type Queries, run } from '../act.ts';
import { openJobs } from './job-states.ts';

const keptSchema = rotationTroubleSchema.exclude(['late']);

const troubleOf = prepared((db, of: { record: string }) =>
  db.selectFrom('rotation_trouble').select('what').where('record', '=', of.record),
);

/** What is wrong with a record's rotation since its last run; null: nothing. */
export function* readTrouble(q: Queries, record: string): Act<ReturnType<typeof troubleAfter>> {
  const row = yield* first(troubleOf(q, { record }));
  return row === undefined ? null : keptSchema.parse(row.what);
}

/** Keeps what is wrong now that this job ended, in the transaction that ends it. `gateway` null: it has none. */
export function* settleTrouble(
  q: Queries,
  job: Pick<StoredJob, 'record' | 'kind' | 'state' | 'why' | 'person' | 'after'> & { readonly gateway: string | null },
  nowMs: number,
): Act<void> {
  const known = yield* readTrouble(q, job.record);
  const what = troubleAfter(job, known);
  if (what === null && known !== null) yield* dropTrouble(q, job.record);
  if (what === null || what === known) return;
  const row = { gateway: job.gateway, what, at_ms: nowMs };
  yield* run(
    q.db
      .insertInto('rotation_trouble')
      .values({ record: job.record, ...row })
      .onConflict((on) => on.column('record').doUpdateSet(row)),
  );
}

export function* dropTrouble(q: Queries, record: string): Act<void> {
  yield* run(q.db.deleteFrom('rotation_trouble').where('record', '=', record));
}

export const troubleActs: Pick<ActsOf<RotationStore>, 'countTroubles'> = {
  *countTroubles(q, input) {
    const kept = yield* all(
      q.db
        .selectFrom('rotation_trouble')
        .select((of) => ['gateway', 'what', of.fn.countAll<number>().as('count')])
        .groupBy(['gateway', 'what'])
        .orderBy('gateway')
        .orderBy('what'),
    );
    const late = yield* all(
      q.db
        .selectFrom('job')
        .select((of) => ['gateway', of.fn.countAll<number>().as('count')])
        .where('state', 'in', openJobs)
        .where('due_ms', '<', input.dueBeforeMs)
        .groupBy('gateway')
        .orderBy('gateway'),
    );
    return [...kept, ...late.map((row) => ({ ...row, what: 'late' }))].map(({ gateway, what, count }) => ({
      gateway: gateway === null ? null : gatewayUidSchema.parse(gateway),
      what: rotationTroubleSchema.parse(what),
      count,
    }));
  },
};
