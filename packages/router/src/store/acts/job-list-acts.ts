import {
  type GatewayUid,
  type FollowUp,
  gatewayUidSchema,
  instanceIdSchema,
  itemUidSchema,
  jobIdSchema,
  jobStateSchema,
  jobStepSchema,
  jobWhySchema,
  applicationUidSchema,
  jobKindSchema,
  PamError,
  toWireError,
} from '@sallyport/protocol';
import type { Expression, ExpressionBuilder, SqlBool } from 'kysely';
import { isOpen, jitterMs, probeBudget } from '@sallyport/rotation';
import { entriesKept, type NewJob, notesKept, type RotationStore, type StartedJob } from '../../rotation/index.ts';
import { type Act, type ActsOf, all, first, prepared, type Queries, run } from '../act.ts';
import type { Database } from '../schema.ts';
import { addEntry, addNote, lockAccount, lockJob, readLogins, saveJob, toJob, toVersion } from './job-rows.ts';
import { openJobs, waitingJobs } from './job-states.ts';
import { planRetirement, readLeftover } from './retire-acts.ts';
import { auditActs } from './audit-acts.ts';
import { readTrouble, settleTrouble } from './trouble-acts.ts';

type ListMethods =
  | 'startJobs'
  | 'getJob'
  | 'readJob'
  | 'listJobs'
  | 'countJobs'
  | 'listOffered'
  | 'findNextOffer'
  | 'noteNoInstance'
  | 'denyJob'
  | 'readRotation';

/** Versions shown of one account. */
const versionsShown = 200;
/** What a rotation repairs by itself; everything else waits for a decision. */
const repairable: readonly string[] = ['drift'];

/** Why the record's account needs a decision first; null when it does not. */
export function* attentionOf(q: Queries, record: string, repairs = repairable): Act<string | null> {
  const rows = yield* all(
    q.db.selectFrom('account').select('attention').where('record', '=', record).where('attention', 'is not', null),
  );
  return rows.find((row) => !repairs.includes(row.attention ?? ''))?.attention ?? null;
}

/** Stores a job that begins at `notBeforeMs`; false when the record has an open one, or this occurrence had its job. */
export function* insertJob(
  q: Queries,
  job: {
    readonly id: string;
    readonly kind: string;
    readonly record: string;
    readonly app: string;
    readonly gateway: string;
    readonly order: string | null;
    readonly person: string | null;
    readonly dueAtMs: number | null;
    readonly notBeforeMs: number;
    readonly nowMs: number;
    readonly followUps?: readonly FollowUp[];
    readonly ended?: { readonly state: 'failed'; readonly why: string };
  },
): Act<boolean> {
  const added = yield* run(
    q.db
      .insertInto('job')
      .values({
        id: job.id,
        kind: job.kind,
        record: job.record,
        app: job.app,
        gateway: job.gateway,
        account: null,
        server: null,
        state: job.ended?.state ?? 'queued',
        step: 'new',
        why: job.ended?.why ?? 'none',
        signed_order: job.order,
        person: job.person,
        due_ms: job.dueAtMs,
        instance: null,
        lease: null,
        epoch: null,
        attempts: 0,
        base: null,
        candidate: null,
        rejections: 0,
        sends: '[]',
        address: null,
        not_before_ms: job.notBeforeMs,
        cancel_asked: 0,
        follow_ups: JSON.stringify(job.followUps ?? []),
        instances: '[]',
        created_ms: job.nowMs,
        started_ms: null,
        ended_ms: job.ended === undefined ? null : job.nowMs,
      })
      .onConflict((on) => on.doNothing()),
  );
  return added === 1;
}

/**
 * What the record's last run already did for revision `rev` of its secrets. Nothing when that run was for another one, or
 * did not come so far.
 */
function* doneBefore(q: Queries, record: string, rev: number): Act<readonly FollowUp[]> {
  const tuple = yield* first(
    q.db
      .selectFrom('job')
      .selectAll()
      .where('record', '=', record)
      .where('kind', 'in', ['rotate', 'after'])
      .where('follow_ups', '<>', '[]')
      .orderBy('created_ms', 'desc')
      .orderBy('id', 'desc')
      .limit(1),
  );
  if (tuple === undefined) return [];
  const last = toJob(tuple);
  const became = (last.base ?? 0) + (last.candidate === null ? 0 : 1);
  return became === rev ? last.followUps.filter(({ state }) => state === 'done') : [];
}

function* openJobOf(q: Queries, record: string): Act<string | null> {
  const row = yield* first(
    q.db.selectFrom('job').select('id').where('record', '=', record).where('state', 'in', openJobs),
  );
  return row?.id ?? null;
}

/** Accounts of records that are there, until they are resolved, by the gateway of their last job. */
function* countAccounts(
  q: Queries,
  which: (of: ExpressionBuilder<Database, 'account' | 'item'>) => Expression<SqlBool>,
): Act<readonly { readonly gateway: GatewayUid; readonly count: number }[]> {
  const rows = yield* all(
    q.db
      .selectFrom('account')
      .innerJoin('item', (join) => join.onRef('item.uid', '=', 'account.record').on('item.removed_ms', 'is', null))
      .select((of) => [
        of
          .selectFrom('job')
          .select('job.gateway')
          .whereRef('job.record', '=', 'account.record')
          .orderBy('job.created_ms', 'desc')
          .limit(1)
          .as('gateway'),
      ])
      .where(which)
      .limit(10_000),
  );
  return [...Map.groupBy(rows, (row) => row.gateway)].flatMap(([gateway, of]) =>
    gateway === null ? [] : [{ gateway: gatewayUidSchema.parse(gateway), count: of.length }],
  );
}

const withRefused = (body: string, refused: readonly string[]): string =>
  refused.length === 0 ? body : JSON.stringify({ ...(JSON.parse(body) as object), refused });

/** Nothing is written for one that is refused. */
function* startJob(q: Queries, order: NewJob): Act<StartedJob> {
  const { job: id, kind, record, nowMs } = order;
  const refuse = (...of: ConstructorParameters<typeof PamError>): StartedJob => ({
    error: toWireError(new PamError(...of)),
  });
  const known = yield* lockJob(q, id);
  if (known !== null) {
    if (known.record === record && known.kind === kind && known.order === order.order) return { job: known };
    return refuse('PAM_CONFLICT', `the id ${id} is another job's`, { detail: { job: id } });
  }
  const repairs = kind === 'rotate' ? repairable : [];
  const why = kind === 'rotate' || kind === 'after' ? yield* attentionOf(q, record, repairs) : null;
  if (why !== null) {
    const problem = `the account of ${record} needs a decision first: ${why}`;
    return refuse('PAM_ROTATION_ATTENTION', problem, { detail: { record, why } });
  }
  const followUps = order.carryFrom === null ? [] : yield* doneBefore(q, record, order.carryFrom);
  if (!(yield* insertJob(q, { ...order, id, dueAtMs: null, notBeforeMs: nowMs, followUps }))) {
    const open = (yield* openJobOf(q, record)) ?? '';
    const problem = `the record ${record} has a job that is not ended`;
    return refuse('PAM_JOB_BUSY', problem, { detail: { record, job: open } });
  }
  const stored = yield* lockJob(q, id);
  if (stored === null) throw new PamError('PAM_INTERNAL', 'a job was stored and is not there');
  yield* addEntry(q, stored, { what: 'ordered', instance: null, nowMs });
  return { job: stored };
}

const gatewaysWaiting = prepared((db, of: { nowMs: number }) =>
  db
    .selectFrom('job')
    .select('gateway')
    .distinct()
    .where('state', 'in', waitingJobs)
    .where('not_before_ms', '<=', of.nowMs)
    .orderBy('gateway'),
);
const waitingAt = prepared((db, of: { gateway: string; nowMs: number; each: number }) =>
  db
    .selectFrom('job')
    .select(['id', 'kind', 'record', 'app', 'gateway', 'signed_order', 'due_ms', 'why'])
    .where('gateway', '=', of.gateway)
    .where('state', 'in', waitingJobs)
    .where('not_before_ms', '<=', of.nowMs)
    .orderBy('not_before_ms')
    .orderBy('id')
    .limit(of.each),
);

export const jobListActs: Pick<ActsOf<RotationStore>, ListMethods> = {
  *startJobs(q, input) {
    const results = new Map<NewJob, StartedJob>();
    // By record: two callers that order the same ones wait for each other in one direction only.
    for (const order of input.orders.toSorted((a, b) => (a.record < b.record ? -1 : 1))) {
      results.set(order, yield* startJob(q, order));
    }
    const refused = input.orders.filter((order) => 'error' in (results.get(order) ?? {})).map(({ job }) => job);
    const events = input.told.events.map((event) => ({ ...event, body: withRefused(event.body, refused) }));
    const head = yield* auditActs.appendEvents(q, { ...input.told, events });
    return { results: input.orders.flatMap((order) => results.get(order) ?? []), head };
  },

  *getJob(q, input) {
    const tuple = yield* first(q.db.selectFrom('job').selectAll().where('id', '=', input.job));
    return tuple === undefined ? null : toJob(tuple);
  },

  *readJob(q, input) {
    const tuple = yield* first(q.db.selectFrom('job').selectAll().where('id', '=', input.job));
    if (tuple === undefined) return null;
    const entries = yield* all(
      q.db.selectFrom('job_entry').selectAll().where('job', '=', input.job).orderBy('n').limit(entriesKept),
    );
    const notes = yield* all(
      q.db
        .selectFrom('job_note')
        .select(['gen', 'envelope'])
        .where('job', '=', input.job)
        .orderBy('n')
        .limit(notesKept),
    );
    return {
      job: toJob(tuple),
      entries: entries.map((row) => ({
        atMs: row.at_ms,
        instance: row.instance === null ? null : instanceIdSchema.parse(row.instance),
        step: jobStepSchema.parse(row.step),
        what: row.what,
      })),
      notes,
    };
  },

  *listJobs(q, input) {
    let query = q.db.selectFrom('job').selectAll();
    if (input.record !== undefined) query = query.where('record', '=', input.record);
    if (input.state === 'attention') query = query.where('state', '=', 'attention');
    if (input.state === 'open') query = query.where('state', 'in', openJobs);
    if (input.state === 'ended') query = query.where('state', 'not in', openJobs);
    const { before } = input;
    if (before !== undefined) {
      query = query.where((of) =>
        of.or([
          of('created_ms', '<', before.createdAtMs),
          of.and([of('created_ms', '=', before.createdAtMs), of('id', '<', before.job)]),
        ]),
      );
    }
    const rows = yield* all(
      query
        .orderBy('created_ms', 'desc')
        .orderBy('id', 'desc')
        .limit(input.limit + 1),
    );
    return { jobs: rows.slice(0, input.limit).map(toJob), more: rows.length > input.limit };
  },

  *countJobs(q) {
    const open = yield* all(
      q.db
        .selectFrom('job')
        .select((of) => ['gateway', 'state', of.fn.countAll<number>().as('count')])
        .where('state', 'in', openJobs)
        .groupBy(['gateway', 'state'])
        .orderBy('gateway'),
    );
    const needing = yield* countAccounts(q, (of) => of('attention', 'is not', null));
    const leaving = yield* countAccounts(q, (of) =>
      of.and([of('leftover', 'is not', null), of('account.job', 'is', null)]),
    );
    return [
      ...open.map((row) => ({
        gateway: gatewayUidSchema.parse(row.gateway),
        state: jobStateSchema.parse(row.state),
        count: row.count,
      })),
      ...needing.map((each) => ({ ...each, state: 'attention' as const })),
      ...leaving.map((each) => ({ ...each, state: 'leftover' as const })),
    ];
  },

  *listOffered(q, input) {
    const { gateway: only, nowMs, each } = input;
    const gateways = only === null ? yield* all(gatewaysWaiting(q, { nowMs })) : [{ gateway: only }];
    const offered: Awaited<ReturnType<RotationStore['listOffered']>>[number][] = [];
    for (const { gateway } of gateways) {
      for (const row of yield* all(waitingAt(q, { gateway, nowMs, each }))) {
        offered.push({
          job: jobIdSchema.parse(row.id),
          kind: jobKindSchema.parse(row.kind),
          record: itemUidSchema.parse(row.record),
          app: applicationUidSchema.parse(row.app),
          gateway: gatewayUidSchema.parse(row.gateway),
          order: row.signed_order,
          dueAtMs: row.due_ms,
          why: jobWhySchema.parse(row.why),
        });
      }
    }
    return offered;
  },

  *findNextOffer(q, input) {
    const row = yield* first(
      q.db
        .selectFrom('job')
        .select((of) => of.fn.min<number | null>('not_before_ms').as('next'))
        .where('state', 'in', waitingJobs)
        .where('not_before_ms', '>', input.nowMs),
    );
    return row?.next ?? null;
  },

  *noteNoInstance(q, input) {
    if (input.jobs.length === 0) return;
    yield* run(
      q.db
        .updateTable('job')
        .set({ state: 'waiting', why: 'no-instance' })
        .where('id', 'in', [...input.jobs])
        .where('state', 'in', waitingJobs),
    );
  },

  *denyJob(q, input) {
    const known = yield* first(q.db.selectFrom('job').select('account').where('id', '=', input.job));
    if (typeof known?.account === 'string') yield* lockAccount(q, known.account);
    const job = yield* lockJob(q, input.job);
    if (job === null || !isOpen(job) || job.holder !== null) return { denied: false, head: null };
    if (job.account !== null) {
      yield* run(
        q.db.updateTable('account').set({ job: null }).where('account', '=', job.account).where('job', '=', job.id),
      );
    }
    // Something may have been written to the target already: then nobody but a person may call it over.
    const wrote = job.sends.length > 0 && job.step !== 'promoted' && job.step !== 'done';
    const ended = {
      ...job,
      state: wrote ? 'attention' : 'failed',
      why: input.why,
      endedAtMs: input.nowMs,
    } as const;
    if (wrote && job.account !== null) {
      yield* run(q.db.updateTable('account').set({ attention: input.why }).where('account', '=', job.account));
    }
    yield* saveJob(q, job, ended);
    yield* planRetirement(q, job, input.nowMs);
    yield* settleTrouble(q, ended, input.nowMs);
    yield* addEntry(q, job, { what: 'denied', instance: input.instance, nowMs: input.nowMs });
    yield* addNote(q, job.id, input.note);
    return { denied: true, head: yield* auditActs.appendEvents(q, input.told) };
  },

  *readRotation(q, input) {
    const account = yield* first(
      q.db
        .selectFrom('account')
        .selectAll()
        .where('record', '=', input.record)
        .orderBy('changed_ms', 'desc')
        .orderBy('account')
        .limit(1),
    );
    const last = yield* first(
      q.db
        .selectFrom('job')
        .selectAll()
        .where('record', '=', input.record)
        .orderBy('created_ms', 'desc')
        .orderBy('id', 'desc')
        .limit(1),
    );
    const schedule = yield* first(q.db.selectFrom('schedule').select('next_ms').where('record', '=', input.record));
    const nextDueMs = typeof schedule?.next_ms === 'number' ? schedule.next_ms + jitterMs(input.record) : null;
    const lastJob = last === undefined ? null : toJob(last);
    const trouble = yield* readTrouble(q, input.record);
    if (account === undefined) return { account: null, versions: [], nextDueMs, lastJob, trouble };
    const versions = yield* all(
      q.db
        .selectFrom('account_version')
        .selectAll()
        .where('account', '=', account.account)
        .orderBy('n', 'desc')
        .limit(versionsShown),
    );
    const logins = yield* readLogins(q, account.account, input.nowMs - probeBudget.windowMs);
    const spent = logins.filter((login) => login.state === 'taken');
    return {
      account: {
        epoch: account.epoch,
        send: account.send,
        current: account.current,
        job: account.job === null ? null : jobIdSchema.parse(account.job),
        attention: account.attention === null ? null : jobWhySchema.parse(account.attention),
        leftover: yield* readLeftover(q, account),
        budget: Math.max(0, probeBudget.refusals - spent.length),
        budgetAtMs: spent[0] === undefined ? null : spent[0].atMs + probeBudget.windowMs,
      },
      versions: versions.map(toVersion),
      nextDueMs,
      lastJob,
      trouble,
    };
  },
};
