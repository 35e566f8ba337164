import { jobWhySchema } from '@sallyport/protocol';
import { type AccountRows, isOpen } from '@sallyport/rotation';
import type { Selectable } from 'kysely';
import type { Refused, StoredJob } from '../../../rotation/index.ts';
import { type Act, first, prepared, type Queries, run } from '../../act.ts';
import type { Database } from '../../schema.ts';
import { lockAccount, lockJob, readVersionRows, saveJob, toAccount } from '../job-rows.ts';
import { refused } from './refused.ts';
import { saveVersions } from './save-versions.ts';
import { afterHold } from './wake-waiting.ts';

/** Versions that a claim is told, and that a decision looks at. */
export const versionsTold = 12;

/** What a decision about a claimed job looks at, locked. */
export interface Held {
  readonly rows: AccountRows;
  readonly job: StoredJob;
}

/** Record and account of a job, not locked: the account is locked first. */
export const accountOfJob = prepared((db, of: { job: string }) =>
  db.selectFrom('job').select(['record', 'account']).where('id', '=', of.job),
);

/** Rows of a job that was claimed before, locked: its account, then itself. */
export function* lockRows(q: Queries, id: string): Act<Held | Refused> {
  const known = yield* first(accountOfJob(q, { job: id }));
  if (known === undefined) return refused('PAM_NOT_FOUND', `there is no job ${id}`);
  const account = known.account === null ? undefined : yield* lockAccount(q, known.account);
  const job = yield* lockJob(q, id);
  if (job === null || account === undefined) return refused('PAM_JOB_FENCED', 'the job was not claimed');
  const versions = yield* readVersionRows(q, account.account, versionsTold, [account.current, job.candidate]);
  return { rows: { account: toAccount(account), job, versions, logins: [] }, job };
}

const saveAccount = prepared(
  (db, row: Omit<Selectable<Database['account']>, 'record' | 'server' | 'attention' | 'retire_tries'>) =>
    db
      .updateTable('account')
      .set({ epoch: row.epoch, send: row.send, current: row.current, job: row.job })
      .set({ next_version: row.next_version, leftover: row.leftover, changed_ms: row.changed_ms })
      .where('account', '=', row.account),
);

/** Stores what a decision changed. `sealed`: of the version it made. */
export function* saveRows(
  q: Queries,
  held: Held,
  to: AccountRows,
  with_: {
    readonly nowMs: number;
    readonly sealed?: { readonly gen: number; readonly envelope: string };
    readonly attention?: string;
  },
): Act<StoredJob> {
  const { rows, job } = held;
  const { nowMs, attention } = with_;
  if (to.account !== rows.account || attention !== undefined) {
    const { account, epoch, send, current, nextVersion, leftover } = to.account;
    const row = { account, epoch, send, current, job: to.account.job, next_version: nextVersion, leftover };
    yield* run(saveAccount(q, { ...row, changed_ms: nowMs }));
    if (attention !== undefined) {
      yield* run(q.db.updateTable('account').set({ attention }).where('account', '=', account));
    }
  }
  yield* saveVersions(q, rows.versions, to.versions, with_.sealed);
  if (to.job === rows.job) return job;
  const ended = !isOpen(to.job) && isOpen(rows.job);
  const saved: StoredJob = {
    ...job,
    ...to.job,
    why: jobWhySchema.parse(to.job.why === '' ? 'none' : to.job.why),
    endedAtMs: ended ? nowMs : job.endedAtMs,
  };
  yield* saveJob(q, job, saved);
  if (ended || (to.job.holder === null && rows.job.holder !== null)) yield* afterHold(q, saved, ended, nowMs);
  return saved;
}
