import { retireWaitMs } from '@sallyport/rotation';
import type { StoredJob } from '../../rotation/index.ts';
import { type Act, all, first, type Queries, run } from '../act.ts';

/** The planned job of an account: there is one at most. */
const planOf = (account: string): string => `retire.${account}`;

/**
 * After the end of a job: plans the next one that removes what is left over, after a longer wait each time and not for ever
 * (R10). What a rotation left begins anew with the shortest.
 */
export function* planRetirement(
  q: Queries,
  job: Pick<StoredJob, 'id' | 'kind' | 'record' | 'account' | 'sends'>,
  nowMs: number,
): Act<void> {
  const isWritten = job.kind === 'rotate' && job.sends.length > 0;
  if (!isWritten && job.kind !== 'retire') return;
  // A job that nobody claimed does not know its account.
  const known = yield* all(
    q.db.selectFrom('account').select(['account', 'leftover', 'retire_tries']).where('record', '=', job.record),
  );
  for (const row of known) {
    if (job.account !== null && job.account !== row.account) continue;
    const { account } = row;
    const tries = isWritten ? 0 : (row.retire_tries ?? 0) + 1;
    const waitMs = row.leftover === null ? null : retireWaitMs(tries);
    yield* run(q.db.deleteFrom('recheck').where('id', '=', planOf(account)));
    if (row.leftover !== null) {
      yield* run(q.db.updateTable('account').set({ retire_tries: tries }).where('account', '=', account));
    }
    if (waitMs === null) continue;
    const plan = { id: planOf(account), job: job.id, account, due_ms: nowMs + waitMs, kind: 'retire' };
    yield* run(q.db.insertInto('recheck').values(plan));
  }
}

/** How often what is left over was tried to be removed, and when it is the next time; null: nothing is. */
export function* readLeftover(
  q: Queries,
  of: { readonly account: string; readonly leftover: number | null; readonly retire_tries: number | null },
): Act<{ readonly tries: number; readonly nextTryMs: number | null } | null> {
  if (of.leftover === null) return null;
  const plan = yield* first(q.db.selectFrom('recheck').select('due_ms').where('id', '=', planOf(of.account)));
  return { tries: of.retire_tries ?? 0, nextTryMs: plan?.due_ms ?? null };
}
