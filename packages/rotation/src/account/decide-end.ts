import { type AccountRows, type Decision, fencedOff, type Holder, isOpen, moved, refuse } from './account-rows.ts';
import type { AccountRow, JobRow, SendRow } from './rows.ts';

/**
 * The vault's pointer moves, once (R7), to what was verified, if the record is still at the revision the job began with;
 * else nothing is written (R9).
 *
 * @param request.secretsRev - revision of the record's secrets now; null: the record is gone.
 */
export function decidePromote(
  rows: AccountRows,
  request: Holder & { readonly version: number; readonly secretsRev: number | null },
): Decision<{ readonly kind: 'promoted'; readonly again: boolean } | { readonly kind: 'edited' }> {
  const { account, job } = rows;
  if (isPromoted(job) && job.candidate === request.version && job.epoch === request.epoch) {
    return { ok: true, rows, answer: { kind: 'promoted', again: true } };
  }
  const fenced = fencedOff(job, request);
  if (fenced !== null) return refuse(rows, fenced.code, fenced.why);
  if (job.candidate !== request.version) return refuse(rows, 'PAM_CONFLICT', 'only the candidate can be promoted');
  if (job.step !== 'verified' && job.step !== 'converged') {
    return refuse(rows, 'PAM_CONFLICT', `nothing was verified at ${job.step}`);
  }
  if (request.secretsRev === null || request.secretsRev !== job.base) {
    return { ok: true, rows, answer: { kind: 'edited' } };
  }
  const versions = rows.versions.map((version) =>
    version.n === request.version ? { ...version, state: 'promoted' as const } : version,
  );
  return {
    ok: true,
    rows: {
      ...rows,
      versions,
      account: { ...account, current: request.version },
      job: moved(job, 'promoted'),
    },
    answer: { kind: 'promoted', again: false },
  };
}

function isPromoted(job: JobRow): boolean {
  return job.step === 'promoted' || job.step === 'done';
}

/** Given back: nobody holds it, and whoever is next goes on from its step. The account stays its own. */
export function decideWait(
  rows: AccountRows,
  request: Holder & { readonly inMs: number; readonly why: string },
  nowMs: number,
): Decision<Record<never, never>> {
  const fenced = fencedOff(rows.job, request);
  if (fenced !== null) return refuse(rows, fenced.code, fenced.why);
  // To give it back is to have answered: only a holder that dies counts towards poison (I15).
  const job = {
    ...rows.job,
    state: 'waiting',
    why: request.why,
    holder: null,
    notBeforeMs: nowMs + request.inMs,
    attempts: Math.max(0, rows.job.attempts - 1),
  } as const;
  return { ok: true, rows: { ...rows, job }, answer: {} };
}

export function decideFinish(
  rows: AccountRows,
  request: Holder & { readonly outcome: 'done' | 'failed' | 'attention' | 'cancelled'; readonly why: string },
): Decision<{ readonly again: boolean }> {
  const { account, job } = rows;
  if (!isOpen(job) && job.epoch === request.epoch && job.state === request.outcome) {
    return { ok: true, rows, answer: { again: true } };
  }
  const fenced = fencedOff(job, request);
  if (fenced !== null) return refuse(rows, fenced.code, fenced.why);
  if (request.outcome === 'done' && job.kind === 'rotate' && job.sends.length > 0 && !isPromoted(job)) {
    return refuse(rows, 'PAM_CONFLICT', `something was written, and nothing promoted: ${job.step}`);
  }
  const isHarmless = request.outcome === 'failed' || request.outcome === 'cancelled';
  if (isHarmless && !isPromoted(job) && job.sends.some(mayHaveChanged)) {
    return refuse(rows, 'PAM_CONFLICT', `a write may have changed the account: not ${request.outcome}, but attention`);
  }
  const ended = request.outcome === 'done' ? moved(job, 'done') : job;
  return {
    ok: true,
    rows: {
      ...rows,
      account: { ...account, job: null, leftover: leftoverAfter(rows) },
      job: { ...ended, state: request.outcome, why: request.why, holder: null },
    },
    answer: { again: false },
  };
}

/** A run that changed nothing leaves nothing; what others left before it stays to be removed (R10). */
function leftoverAfter({ account, job }: AccountRows): number | null {
  const isOurs = job.sends.some(({ send }) => send === account.leftover);
  return isOurs && !job.sends.some(mayHaveChanged) ? null : account.leftover;
}

/** Rows of a job that may not have been claimed yet. */
export interface CancelRows {
  readonly account: AccountRow | null;
  readonly job: JobRow;
}

/** Before the first permit it ends at once; afterwards it means: finish, then stop. */
export function decideCancel(rows: CancelRows): Decision<{ readonly ended: boolean }, CancelRows> {
  const { account, job } = rows;
  if (!isOpen(job)) return refuse(rows, 'PAM_JOB_ENDED', `the job ended: ${job.state}`);
  if (job.sends.length > 0) {
    return { ok: true, rows: { ...rows, job: { ...job, cancelAsked: true } }, answer: { ended: false } };
  }
  const ended = { ...job, state: 'cancelled', why: 'cancelled', holder: null, cancelAsked: true } as const;
  const free = account?.job === job.id ? { ...account, job: null } : account;
  return { ok: true, rows: { account: free, job: ended }, answer: { ended: true } };
}

/** Whether the password is what it was is not known of a write that was applied, or of whose end nobody told. */
function mayHaveChanged({ outcome }: SendRow): boolean {
  return outcome === null || outcome === 'unknown' || outcome === 'applied';
}
