import { createHash } from 'node:crypto';
import type { ItemUid } from '@sallyport/protocol';
import { decideRecover, decideSeen } from '@sallyport/rotation';
import type { RotationStore } from '../../rotation/index.ts';
import { type Act, type ActsOf, all, first, type Queries, run } from '../act.ts';
import { incarnationUnit, readIncarnation } from '../migrations.ts';
import { lockAccount, toAccount } from './job-rows.ts';

type JournalMethods = 'compareJournal' | 'recoverVersion';
type Entry = Parameters<RotationStore['compareJournal']>[0]['entries'][number];

const digestOf = (envelope: string): string => createHash('sha256').update(envelope).digest('base64url');

/** A live user's record of this application: nothing else has an account. */
function* isUser(q: Queries, record: string, app: string): Act<boolean> {
  const row = yield* first(
    q.db
      .selectFrom('item')
      .select('uid')
      .where('uid', '=', record)
      .where('app', '=', app)
      .where('type', '=', 'pamUser')
      .where('removed_ms', 'is', null),
  );
  return row !== undefined;
}

/** Whether a version of this job with this very envelope is there; a job has few. */
function* hasVersion(q: Queries, of: { readonly account: string; readonly job: string }, digest: string): Act<boolean> {
  const rows = yield* all(
    q.db.selectFrom('account_version').select('envelope').where('account', '=', of.account).where('job', '=', of.job),
  );
  return rows.some((row) => digestOf(row.envelope) === digest);
}

/** More accounts of one record than this nobody makes known by a journal. */
const accountsOfRecord = 4;

/** A record that was pointed somewhere else has several accounts, not many. */
function* mayEnter(q: Queries, entry: Entry): Act<boolean> {
  const rows = yield* all(q.db.selectFrom('account').select('account').where('record', '=', entry.record));
  return rows.length < accountsOfRecord || rows.some((row) => row.account === entry.account);
}

/** The account's row, raised to what the instance saw; `isBehind`: it knew less, or nothing. */
function* seenAccount(
  q: Queries,
  entry: Entry,
  at: { readonly incarnation: number; readonly nowMs: number },
): Act<{ readonly record: string; readonly isBehind: boolean }> {
  const { account, record, server } = entry;
  const epoch = at.incarnation * incarnationUnit;
  const row = { account, record, server, epoch, send: epoch - incarnationUnit, current: null, job: null };
  const made = yield* run(
    q.db
      .insertInto('account')
      .values({ ...row, next_version: 0, attention: 'restored', changed_ms: at.nowMs })
      .onConflict((on) => on.doNothing()),
  );
  const locked = yield* lockAccount(q, account);
  if (locked?.record !== record) return { record: locked?.record ?? '', isBehind: false };
  const before = toAccount(locked);
  const after = decideSeen(before, entry, epoch + incarnationUnit);
  if (after === before) return { record, isBehind: made === 1 };
  yield* run(
    q.db
      .updateTable('account')
      .set((of) => ({
        epoch: after.epoch,
        send: after.send,
        attention: of.fn.coalesce('attention', of.val('restored')),
        changed_ms: at.nowMs,
      }))
      .where('account', '=', account),
  );
  return { record, isBehind: true };
}

export const journalActs: Pick<ActsOf<RotationStore>, JournalMethods> = {
  *compareJournal(q, input) {
    const incarnation = yield* readIncarnation(q);
    const wanted: string[] = [];
    const distrusted = new Set<ItemUid>();
    // Accounts are locked in one order, whoever compares.
    for (const entry of input.entries.toSorted((a, b) => (a.account < b.account ? -1 : 1))) {
      if (!(yield* isUser(q, entry.record, input.app))) continue;
      if (!(yield* mayEnter(q, entry))) continue;
      const seen = yield* seenAccount(q, entry, { incarnation, nowMs: input.nowMs });
      if (seen.record !== entry.record) continue;
      if (seen.isBehind) distrusted.add(entry.record);
      if (!(yield* hasVersion(q, entry, entry.digest))) wanted.push(entry.digest);
    }
    return { wanted, distrusted: [...distrusted] };
  },

  *recoverVersion(q, input) {
    const { record, job, rev, gen, envelope, atMs, nowMs } = input;
    const row = yield* lockAccount(q, input.account);
    if (row?.record !== record || !(yield* isUser(q, record, input.app))) {
      return { refused: 'PAM_CONFLICT', why: 'the account is not known, or is another record’s' };
    }
    if (yield* hasVersion(q, input, digestOf(envelope))) return { version: null };
    const counted = yield* all(
      q.db
        .selectFrom('account_version')
        .select('n')
        .where('account', '=', row.account)
        .where('state', '=', 'recovered'),
    );
    const rows = { account: toAccount(row), versions: [] };
    const decision = decideRecover(rows, { job, rev, atMs, recovered: counted.length }, nowMs);
    if (!decision.ok) return { refused: decision.code, why: decision.why };
    for (const version of decision.rows.versions) {
      const { account, n, state } = version;
      const sealed = { gen, envelope, source: input.instance };
      yield* run(
        q.db.insertInto('account_version').values({ account, n, job, rev, state, at_ms: version.atMs, ...sealed }),
      );
    }
    yield* run(
      q.db
        .updateTable('account')
        .set({ next_version: decision.rows.account.nextVersion, changed_ms: nowMs })
        .where('account', '=', row.account),
    );
    return { version: decision.answer.version };
  },
};
