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
import { type Act, all, first, type Queries, run } from '../act.ts';
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

/** Columns of a job; `entries` is counted where entries are written. */
export function fromJob(job: StoredJob): Omit<Insertable<Database['job']>, 'entries'> {
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

export function toVersionRow(tuple: VersionTuple): VersionRow {
  const { job, state, ...version } = toVersion(tuple);
  return { account: tuple.account, n: version.n, job, rev: version.rev, state, atMs: version.atMs };
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

/** A job's row for this transaction. */
export function* lockJob(q: Queries, job: string): Act<StoredJob | null> {
  const tuple = yield* first(
    q.db
      .updateTable('job')
      .set((of) => ({ attempts: of('attempts', '+', 0) }))
      .where('id', '=', job)
      .returningAll(),
  );
  return tuple === undefined ? null : toJob(tuple);
}

/** An account's row for this transaction. */
export function* lockAccount(q: Queries, account: string): Act<AccountTuple | undefined> {
  return yield* first(
    q.db
      .updateTable('account')
      .set((of) => ({ send: of('send', '+', 0) }))
      .where('account', '=', account)
      .returningAll(),
  );
}

/** The newest versions, and those that are named, newest first. */
export function* readVersions(
  q: Queries,
  account: string,
  newest: number,
  named: readonly (number | null)[],
): Act<VersionTuple[]> {
  const rows = yield* all(
    q.db.selectFrom('account_version').selectAll().where('account', '=', account).orderBy('n', 'desc').limit(newest),
  );
  const missing = named.filter((n) => n !== null && !rows.some((row) => row.n === n));
  if (missing.length === 0) return rows;
  const more = yield* all(
    q.db
      .selectFrom('account_version')
      .selectAll()
      .where('account', '=', account)
      .where('n', 'in', missing as number[])
      .orderBy('n', 'desc'),
  );
  return [...rows, ...more];
}

export function* readLogins(q: Queries, account: string, sinceMs: number): Act<LoginRow[]> {
  const rows = yield* all(
    q.db
      .selectFrom('account_login')
      .selectAll()
      .where('account', '=', account)
      .where('at_ms', '>', sinceMs)
      .orderBy('at_ms'),
  );
  return rows.map((row) => ({
    account: row.account,
    id: row.id,
    atMs: row.at_ms,
    state: row.state === 'returned' ? 'returned' : 'taken',
  }));
}

/** Appends what happened; what is over the limit takes the place of the last. */
export function* addEntry(
  q: Queries,
  of: Pick<StoredJob, 'id' | 'step'>,
  entry: { readonly what: string; readonly instance: InstanceId | null; readonly nowMs: number },
): Act<void> {
  const counted = yield* first(
    q.db
      .updateTable('job')
      .set((row) => ({ entries: row('entries', '+', 1) }))
      .where('id', '=', of.id)
      .returning('entries'),
  );
  const n = Math.min(counted?.entries ?? 1, entriesKept);
  const row = { at_ms: entry.nowMs, instance: entry.instance, step: of.step, what: entry.what.slice(0, 64) };
  yield* run(
    q.db
      .insertInto('job_entry')
      .values({ job: of.id, n, ...row })
      .onConflict((on) => on.columns(['job', 'n']).doUpdateSet(row)),
  );
}

/** Appends a sealed note; none over the limit. */
export function* addNote(
  q: Queries,
  job: string,
  note: { readonly gen: number; readonly envelope: string } | null,
): Act<void> {
  if (note === null) return;
  const last = yield* first(
    q.db.selectFrom('job_note').select('n').where('job', '=', job).orderBy('n', 'desc').limit(1),
  );
  const n = (last?.n ?? 0) + 1;
  if (n > notesKept) return;
  yield* run(
    q.db
      .insertInto('job_note')
      .values({ job, n, ...note })
      .onConflict((on) => on.doNothing()),
  );
}
