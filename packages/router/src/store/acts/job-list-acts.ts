import {
  type GatewayUid,
  gatewayUidSchema,
  instanceIdSchema,
  jobIdSchema,
  jobStateSchema,
  jobStepSchema,
  jobWhySchema,
} from '@sallyport/protocol';
import { jitterMs, probeBudget } from '@sallyport/rotation';
import type { Expression, ExpressionBuilder, SqlBool } from 'kysely';
import { entriesKept, notesKept, type RotationStore } from '../../rotation/index.ts';
import { type Act, type ActsOf, all, first, type Queries } from '../act.ts';
import type { Database } from '../schema.ts';
import { readLogins, toJob, toVersion } from './job-rows.ts';
import { openJobs } from './job-states.ts';
import { readLeftover } from './retire-acts.ts';
import { readTrouble } from './trouble-acts.ts';

/** Versions shown of one account. */
const versionsShown = 200;

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

export const jobListActs: Pick<
  ActsOf<RotationStore>,
  'getJob' | 'readJob' | 'listJobs' | 'countJobs' | 'readRotation'
> = {
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
