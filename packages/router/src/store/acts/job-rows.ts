import {
  type AccountVersion,
  accountVersionSchema,
  afterCountsSchema,
  followUpSchema,
  applicationUidSchema,
  gatewayUidSchema,
  type InstanceId,
  instanceIdSchema,
  itemUidSchema,
  jobIdSchema,
  jobKindSchema,
  jobStateSchema,
  jobStepSchema,
  jobWhySchema,
  personUidSchema,
  sendOutcomeSchema,
} from '@sallyport/protocol';
import type { AccountRow, LoginRow, VersionRow } from '@sallyport/rotation';
import type { Insertable, Selectable } from 'kysely';
import { z } from 'zod';
import { entriesKept, notesKept, type StoredJob } from '../../rotation/index.ts';
import { type Act, all, first, prepared, type Queries, run } from '../act.ts';
import type { Database } from '../schema.ts';

type JobTuple = Selectable<Database['job']>;
type AccountTuple = Selectable<Database['account']>;
type VersionTuple = Selectable<Database['account_version']>;

const jobTupleSchema = z.object({
  id: jobIdSchema,
  kind: jobKindSchema,
  record: itemUidSchema,
  app: applicationUidSchema,
  gateway: gatewayUidSchema,
  state: jobStateSchema,
  step: jobStepSchema,
  why: jobWhySchema,
  person: personUidSchema.nullable(),
  instance: instanceIdSchema.nullable(),
});
const sendsSchema = z.array(z.object({ send: z.int(), version: z.int(), outcome: sendOutcomeSchema.nullable() }));
const instancesSchema = z.array(instanceIdSchema);
const followUpsSchema = z.array(followUpSchema);
const versionStateSchema = accountVersionSchema.shape.state;

export function toJob(tuple: JobTuple): StoredJob {
  const row = jobTupleSchema.parse(tuple);
  const { instance, ...shown } = row;
  return {
    ...shown,
    account: tuple.account,
    server: tuple.server,
    order: tuple.signed_order,
    dueAtMs: tuple.due_ms,
    holder: instance === null || tuple.lease === null ? null : { instance, lease: tuple.lease },
    epoch: tuple.epoch,
    attempts: tuple.attempts,
    base: tuple.base,
    candidate: tuple.candidate,
    rejections: tuple.rejections,
    sends: sendsSchema.parse(JSON.parse(tuple.sends)),
    address: tuple.address,
    notBeforeMs: tuple.not_before_ms,
    cancelAsked: tuple.cancel_asked === 1,
    followUps: followUpsSchema.parse(JSON.parse(tuple.follow_ups)),
    after: tuple.after_counts === null ? null : afterCountsSchema.parse(JSON.parse(tuple.after_counts)),
    instances: instancesSchema.parse(JSON.parse(tuple.instances)),
    createdAtMs: tuple.created_ms,
    startedAtMs: tuple.started_ms,
    endedAtMs: tuple.ended_ms,
  };
}

/** Columns of a job. */
function fromJob(job: StoredJob): Insertable<Database['job']> {
  return {
    id: job.id,
    kind: job.kind,
    record: job.record,
    app: job.app,
    gateway: job.gateway,
    account: job.account,
    server: job.server,
    state: job.state,
    step: job.step,
    why: job.why,
    signed_order: job.order,
    person: job.person,
    due_ms: job.dueAtMs,
    instance: job.holder?.instance ?? null,
    lease: job.holder?.lease ?? null,
    epoch: job.epoch,
    attempts: job.attempts,
    base: job.base,
    candidate: job.candidate,
    rejections: job.rejections,
    sends: JSON.stringify(job.sends),
    address: job.address,
    not_before_ms: job.notBeforeMs,
    cancel_asked: job.cancelAsked ? 1 : 0,
    follow_ups: JSON.stringify(job.followUps),
    after_counts: job.after === null ? null : JSON.stringify(job.after),
    instances: JSON.stringify(job.instances),
    created_ms: job.createdAtMs,
    started_ms: job.startedAtMs,
    ended_ms: job.endedAtMs,
  };
}

export function toAccount(tuple: AccountTuple): AccountRow {
  return {
    account: tuple.account,
    record: itemUidSchema.parse(tuple.record),
    epoch: tuple.epoch,
    send: tuple.send,
    current: tuple.current,
    job: tuple.job === null ? null : jobIdSchema.parse(tuple.job),
    nextVersion: tuple.next_version,
    leftover: tuple.leftover,
  };
}

/** What decisions read of a version: never its envelope. */
const versionColumns = ['account', 'n', 'job', 'rev', 'state', 'at_ms'] as const;

function toVersionRow(tuple: Pick<VersionTuple, (typeof versionColumns)[number]>): VersionRow {
  return {
    account: tuple.account,
    n: tuple.n,
    job: tuple.job === null ? null : jobIdSchema.parse(tuple.job),
    rev: tuple.rev,
    state: versionStateSchema.parse(tuple.state),
    atMs: tuple.at_ms,
  };
}

export function toVersion(tuple: VersionTuple): AccountVersion {
  return {
    n: tuple.n,
    rev: tuple.rev,
    gen: tuple.gen,
    envelope: tuple.envelope,
    state: versionStateSchema.parse(tuple.state),
    job: tuple.job === null ? null : jobIdSchema.parse(tuple.job),
    source: tuple.source === null ? null : instanceIdSchema.parse(tuple.source),
    atMs: tuple.at_ms,
  };
}

const jobById = prepared((db, of: { job: string }) => db.selectFrom('job').selectAll().where('id', '=', of.job));
const lockedJob = prepared((db, of: { job: string }) =>
  db
    .updateTable('job')
    .set((row) => ({ attempts: row('attempts', '+', 0) }))
    .where('id', '=', of.job)
    .returningAll(),
);

/** A job's row for this transaction. SQLite gave it the whole file already; a write for nothing would go to disk. */
export function* lockJob(q: Queries, job: string): Act<StoredJob | null> {
  const tuple = yield* first((q.engine === 'sqlite' ? jobById : lockedJob)(q, { job }));
  return tuple === undefined ? null : toJob(tuple);
}

const accountById = prepared((db, of: { account: string }) =>
  db.selectFrom('account').selectAll().where('account', '=', of.account),
);
const lockedAccount = prepared((db, of: { account: string }) =>
  db
    .updateTable('account')
    .set((row) => ({ send: row('send', '+', 0) }))
    .where('account', '=', of.account)
    .returningAll(),
);

/** An account's row for this transaction; as `lockJob`. */
export function* lockAccount(q: Queries, account: string): Act<AccountTuple | undefined> {
  return yield* first((q.engine === 'sqlite' ? accountById : lockedAccount)(q, { account }));
}

type JobColumns = ReturnType<typeof fromJob>;
type SavedColumn = keyof JobColumns;
const saves = new Map<string, ReturnType<typeof saveOf>>();
const saveOf = (columns: readonly SavedColumn[]) =>
  prepared((db, row: JobColumns) =>
    db
      .updateTable('job')
      .set(Object.fromEntries(columns.map((column) => [column, row[column]])))
      .where('id', '=', row.id),
  );

/** Writes what changed and nothing else: a column that is set is written to each of its indices, even to the same value. */
export function* saveJob(q: Queries, before: StoredJob, after: StoredJob): Act<void> {
  const [was, is] = [fromJob(before), fromJob(after)];
  const columns = (Object.keys(is) as SavedColumn[]).filter((column) => is[column] !== was[column]);
  if (columns.length === 0) return;
  const key = columns.join();
  const save = saves.get(key) ?? saveOf(columns);
  saves.set(key, save);
  yield* run(save(q, is));
}

const newestVersions = prepared((db, of: { account: string; newest: number }) =>
  db.selectFrom('account_version').selectAll().where('account', '=', of.account).orderBy('n', 'desc').limit(of.newest),
);
const newestRows = prepared((db, of: { account: string; newest: number }) =>
  db
    .selectFrom('account_version')
    .select(versionColumns)
    .where('account', '=', of.account)
    .orderBy('n', 'desc')
    .limit(of.newest),
);

const missing = (named: readonly (number | null)[], rows: readonly { readonly n: number }[]): number[] =>
  named.filter((n) => n !== null).filter((n) => !rows.some((row) => row.n === n));

/** The newest versions with their envelopes, and those that are named, newest first. */
export function* readVersions(
  q: Queries,
  account: string,
  newest: number,
  named: readonly (number | null)[],
): Act<VersionTuple[]> {
  const rows = yield* all(newestVersions(q, { account, newest }));
  const others = missing(named, rows);
  if (others.length === 0) return rows;
  const more = yield* all(
    q.db
      .selectFrom('account_version')
      .selectAll()
      .where('account', '=', account)
      .where('n', 'in', others)
      .orderBy('n', 'desc'),
  );
  return [...rows, ...more];
}

/** The same for a decision. */
export function* readVersionRows(
  q: Queries,
  account: string,
  newest: number,
  named: readonly (number | null)[],
): Act<VersionRow[]> {
  const rows = yield* all(newestRows(q, { account, newest }));
  const others = missing(named, rows);
  if (others.length === 0) return rows.map(toVersionRow);
  const more = yield* all(
    q.db
      .selectFrom('account_version')
      .select(versionColumns)
      .where('account', '=', account)
      .where('n', 'in', others)
      .orderBy('n', 'desc'),
  );
  return [...rows, ...more].map(toVersionRow);
}

const loginsSince = prepared((db, of: { account: string; sinceMs: number }) =>
  db
    .selectFrom('account_login')
    .selectAll()
    .where('account', '=', of.account)
    .where('at_ms', '>', of.sinceMs)
    .orderBy('at_ms'),
);

export function* readLogins(q: Queries, account: string, sinceMs: number): Act<LoginRow[]> {
  const rows = yield* all(loginsSince(q, { account, sinceMs }));
  return rows.map((row) => ({
    account: row.account,
    id: row.id,
    atMs: row.at_ms,
    state: row.state === 'returned' ? 'returned' : 'taken',
  }));
}

const lastEntry = prepared((db, of: { job: string }) =>
  db.selectFrom('job_entry').select('n').where('job', '=', of.job).orderBy('n', 'desc').limit(1),
);
const putEntry = prepared((db, row: Database['job_entry']) =>
  db
    .insertInto('job_entry')
    .values({ job: row.job, n: row.n, at_ms: row.at_ms, instance: row.instance, step: row.step, what: row.what })
    .onConflict((on) =>
      on
        .columns(['job', 'n'])
        .doUpdateSet({ at_ms: row.at_ms, instance: row.instance, step: row.step, what: row.what }),
    ),
);

/** Appends what happened to a job that is locked; what is over the limit takes the place of the last. */
export function* addEntry(
  q: Queries,
  of: Pick<StoredJob, 'id' | 'step'>,
  entry: { readonly what: string; readonly instance: InstanceId | null; readonly nowMs: number },
): Act<void> {
  const last = yield* first(lastEntry(q, { job: of.id }));
  const n = Math.min((last?.n ?? 0) + 1, entriesKept);
  const { instance, nowMs } = entry;
  yield* run(putEntry(q, { job: of.id, n, at_ms: nowMs, instance, step: of.step, what: entry.what.slice(0, 64) }));
}

const lastNote = prepared((db, of: { job: string }) =>
  db.selectFrom('job_note').select('n').where('job', '=', of.job).orderBy('n', 'desc').limit(1),
);

/** Appends a sealed note; none over the limit. */
export function* addNote(
  q: Queries,
  job: string,
  note: { readonly gen: number; readonly envelope: string } | null,
): Act<void> {
  if (note === null) return;
  const last = yield* first(lastNote(q, { job }));
  const n = (last?.n ?? 0) + 1;
  if (n > notesKept) return;
  yield* run(
    q.db
      .insertInto('job_note')
      .values({ job, n, ...note })
      .onConflict((on) => on.doNothing()),
  );
}
