import { type AccountRows, decideClaim, isOpen } from '@sallyport/rotation';
import { instancesKept, type RotationStore, type StoredJob } from '../../../rotation/index.ts';
import { type Act, type ActsOf, first, type Queries, run } from '../../act.ts';
import { addEntry, lockJob, readVersionRows, readVersions, toAccount, toVersion } from '../job-rows.ts';
import { planRetirement } from '../retire-acts.ts';
import { enterAccount } from './enter-account.ts';
import { holdsLease } from './held-lease.ts';
import { versionsTold, accountOfJob, saveRows } from './held-rows.ts';
import { secretsOf } from './record-secrets.ts';
import { refused } from './refused.ts';
import { lockServer, countAtServer, waitFor } from './server-place.ts';

/** Fails a job that nobody can run. */
function* failJob(q: Queries, job: StoredJob, why: string, nowMs: number): Act<void> {
  yield* run(q.db.updateTable('job').set({ state: 'failed', why, ended_ms: nowMs }).where('id', '=', job.id));
  yield* addEntry(q, job, { what: 'failed', instance: null, nowMs });
}

function readAddress(text: string | null): { gen: number; envelope: string } | null {
  return text === null ? null : (JSON.parse(text) as { gen: number; envelope: string });
}

export const claimActs: Pick<ActsOf<RotationStore>, 'claimJob'> = {
  *claimJob(q, input) {
    const { instance, lease, server, nowMs } = input;
    if (!(yield* holdsLease(q, instance, lease))) return refused('PAM_LEASE_LOST', 'the lease is not held any more');
    const known = yield* first(accountOfJob(q, { job: input.job }));
    if (known === undefined) return refused('PAM_NOT_FOUND', `there is no job ${input.job}`);
    if (known.account !== null && known.account !== input.account) {
      // Its record was pointed somewhere else meanwhile; what was begun belongs to the account of then.
      return refused('PAM_CONFLICT', 'the job was begun for another account');
    }
    yield* lockServer(q, server);
    const account = yield* enterAccount(q, { ...input, record: known.record });
    const job = yield* lockJob(q, input.job);
    if (job === null) return refused('PAM_NOT_FOUND', `there is no job ${input.job}`);
    const isOurs = job.holder?.instance === instance && job.holder.lease === lease;
    if (isOpen(job) && job.holder === null) {
      const busy = yield* countAtServer(q, server, instance, job.id);
      const isBusy = job.dueAtMs === null ? busy.here >= input.orderedAtOnce : busy.scheduled >= input.scheduledAtOnce;
      if (isBusy) return yield* waitFor(q, job, server, nowMs);
    }
    const secrets = yield* secretsOf(q, job.record);
    if (secrets === null && isOpen(job) && job.sends.length === 0) {
      yield* failJob(q, job, 'record-invalid', nowMs);
      return refused('PAM_NOT_FOUND', 'the record is gone');
    }
    const versions = yield* readVersionRows(q, account.account, versionsTold, [account.current, job.candidate]);
    const rows = { account: toAccount(account), job, versions, logins: [] };
    const held = { rows, job };
    const secretsRev = secrets?.rev ?? job.base ?? 0;
    const decision = decideClaim(rows, { instance, lease, secretsRev }, nowMs);
    if (!decision.ok) {
      const poison = decision.code === 'PAM_JOB_POISON' ? { attention: 'poison' } : {};
      const saved = yield* saveRows(q, held, decision.rows, { nowMs, ...poison });
      if (saved !== job) yield* addEntry(q, saved, { what: saved.why, instance, nowMs });
      if (!isOpen(saved)) yield* planRetirement(q, saved, nowMs);
      return refused(decision.code, decision.why);
    }
    const { answer } = decision;
    const to = answer.again ? decision.rows : { ...decision.rows, job: begun(decision.rows.job, job, input) };
    const saved = yield* saveRows(q, held, to, {
      nowMs,
      ...(secrets === null ? {} : { sealed: { gen: secrets.gen, envelope: secrets.envelope } }),
    });
    if (!answer.again) yield* addEntry(q, saved, { what: 'claimed', instance, nowMs });
    const { current, candidate } = { current: to.account.current ?? 0, candidate: saved.candidate };
    const tellable = yield* readVersions(q, account.account, versionsTold, [current, candidate]);
    return {
      record: saved.record,
      claimed: {
        epoch: answer.epoch,
        step: saved.step,
        base: saved.base ?? 0,
        current,
        candidate,
        rejections: saved.rejections,
        sends: saved.sends.slice(-64).map((send) => ({ ...send })),
        address: readAddress(saved.address),
        cancelAsked: saved.cancelAsked,
        followUps: [...saved.followUps],
        versions: tellable.map(toVersion),
      },
    };

    function begun(decided: AccountRows['job'], was: StoredJob, by: typeof input): StoredJob {
      const ran = was.instances.filter((each) => each !== by.instance).slice(1 - instancesKept);
      const why = 'none';
      const startedAtMs = was.startedAtMs ?? nowMs;
      return { ...was, ...decided, why, server, startedAtMs, instances: isOurs ? was.instances : [...ran, instance] };
    }
  },
};
