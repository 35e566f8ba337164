import { decideFinish } from '@sallyport/rotation';
import type { RotationStore, StoredJob } from '../../../rotation/index.ts';
import { type Act, type ActsOf, prepared, type Queries, run } from '../../act.ts';
import { auditActs } from '../audit-acts.ts';
import { addEntry, addNote, lockAccount, lockJob } from '../job-rows.ts';
import { planRetirement } from '../retire-acts.ts';
import { type Held, lockRows, saveRows } from './held-rows.ts';
import { refused } from './refused.ts';

const calmAccount = prepared((db, of: { account: string }) =>
  db
    .updateTable('account')
    .set({ attention: null })
    .where('account', '=', of.account)
    .where('attention', 'is not', null),
);

/** What the account's attention becomes; undefined: stays as it is. */
function attentionAfter(job: StoredJob, outcome: string, why: string): string | undefined {
  if (outcome !== 'attention') return undefined;
  return why === 'none' ? 'internal' : why || job.why;
}

/** A rotation that went through, and a check that opened, have seen what the vault holds open the account. */
function* settleAttention(q: Queries, held: Held): Act<void> {
  if (held.job.kind === 'rehearse' || held.job.kind === 'after') return;
  yield* run(calmAccount(q, { account: held.rows.account.account }));
}

function* planRechecks(q: Queries, job: StoredJob, recheckMs: readonly number[], nowMs: number): Act<void> {
  if (job.account === null) return;
  for (const [i, ms] of recheckMs.entries()) {
    yield* run(
      q.db
        .insertInto('recheck')
        .values({ id: `${job.id}.${i}`, job: job.id, account: job.account, due_ms: nowMs + ms, kind: null })
        .onConflict((on) => on.doNothing()),
    );
  }
}

export const endActs: Pick<ActsOf<RotationStore>, 'finishJob' | 'noteLate'> = {
  *finishJob(q, input) {
    const held = yield* lockRows(q, input.job);
    if ('refused' in held) return held;
    const { nowMs, instance, note, outcome, why } = input;
    const decision = decideFinish(held.rows, input);
    if (!decision.ok) return refused(decision.code, decision.why);
    let { job } = held;
    if (!decision.answer.again) {
      const attention = attentionAfter(held.job, outcome, why);
      const ended: StoredJob = { ...held.job, ...decision.rows.job, why, after: input.after ?? null };
      job = yield* saveRows(
        q,
        held,
        { ...decision.rows, job: ended },
        { nowMs, ...(attention === undefined ? {} : { attention }) },
      );
      if (attention === undefined && outcome === 'done') yield* settleAttention(q, held);
      yield* addEntry(q, job, { what: outcome, instance, nowMs });
      yield* addNote(q, job.id, note);
      yield* planRetirement(q, job, nowMs);
      if (outcome === 'done') yield* planRechecks(q, job, input.recheckMs, nowMs);
    }
    const head = input.told === null ? null : yield* auditActs.appendEvents(q, input.told);
    return { head, job };
  },

  *noteLate(q, input) {
    const account = yield* lockAccount(q, input.account);
    const job = yield* lockJob(q, input.job);
    if (account === undefined || job === null || job.account !== account.account) return;
    // Whoever works on the account now probes before it writes; what nobody looks at is looked at by somebody.
    if (account.job === null && account.attention === null) {
      yield* run(q.db.updateTable('account').set({ attention: 'late-effect' }).where('account', '=', account.account));
    }
    yield* addEntry(q, job, {
      what: `late effect of send ${input.send}`,
      instance: input.instance,
      nowMs: input.nowMs,
    });
    yield* addNote(q, job.id, input.note);
  },
};
