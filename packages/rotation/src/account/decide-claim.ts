import type { InstanceId } from '@sallyport/protocol';
import { type AccountRows, type Decision, isOpen, refuse } from './account-rows.ts';
import { claimsWithoutProgress, type VersionRow } from './rows.ts';

export interface ClaimRequest {
  readonly instance: InstanceId;
  /** The caller has seen that this lease is held, in the same transaction. */
  readonly lease: number;
  /** Revision of the record's secrets now; 0: it has none. Then version 0 stays empty, and nothing is adopted. */
  readonly secretsRev: number;
}

/** How long a job waits that finds its account in other hands; it is woken before when they let go. */
const busyMs = 5_000;

/**
 * Gives a job to an instance under a new epoch.
 *
 * R5 the epoch is above every one before. R7 an account has one open job. I15 the fourth claim without progress is
 * poison. What the vault holds becomes a version before anything is changed (R8).
 */
export function decideClaim(
  rows: AccountRows,
  request: ClaimRequest,
  nowMs: number,
): Decision<{ readonly epoch: number; readonly again: boolean; readonly adopted: VersionRow | null }> {
  const { account, job } = rows;
  if (!isOpen(job)) return refuse(rows, 'PAM_JOB_ENDED', `the job ended: ${job.state}`);
  if (account.record !== job.record) {
    const failed = { ...job, state: 'failed', why: 'account-shared', holder: null } as const;
    return refuse({ ...rows, job: failed }, 'PAM_ACCOUNT_SHARED', `the record ${account.record} manages this account`);
  }
  if (account.job !== null && account.job !== job.id) {
    const waits = { ...job, state: 'waiting', why: 'account-busy', holder: null, notBeforeMs: nowMs + busyMs } as const;
    return refuse({ ...rows, job: waits }, 'PAM_JOB_BUSY', `the account has the open job ${account.job}`);
  }
  if (job.state === 'running' && job.holder !== null) {
    const isOurs = job.holder.instance === request.instance && job.holder.lease === request.lease;
    if (!isOurs || job.epoch === null) return refuse(rows, 'PAM_JOB_FENCED', 'another instance holds the job');
    return { ok: true, rows, answer: { epoch: job.epoch, again: true, adopted: null } };
  }
  if (job.attempts >= claimsWithoutProgress) {
    const poison = { ...job, state: 'attention', why: 'poison', holder: null } as const;
    return refuse(
      { ...rows, job: poison, account: { ...account, job: null } },
      'PAM_JOB_POISON',
      `it was started ${job.attempts} times without getting any further`,
    );
  }
  const { versions, adopted, current } = adopt(rows, request.secretsRev, nowMs);
  const epoch = account.epoch + 1;
  return {
    ok: true,
    rows: {
      ...rows,
      versions,
      account: {
        ...account,
        epoch,
        current,
        job: job.id,
        nextVersion: Math.max(1, account.nextVersion + (adopted === null ? 0 : 1)),
      },
      job: {
        ...job,
        account: account.account,
        state: 'running',
        why: '',
        holder: { instance: request.instance, lease: request.lease },
        epoch,
        attempts: job.attempts + 1,
        base: job.base ?? request.secretsRev,
      },
    },
    answer: { epoch, again: false, adopted },
  };
}

/** What the record holds is a version: the one it was promoted or adopted as, or a new one. */
function adopt(
  { account, versions }: AccountRows,
  rev: number,
  nowMs: number,
): { readonly versions: readonly VersionRow[]; readonly adopted: VersionRow | null; readonly current: number | null } {
  if (rev === 0) return { versions, adopted: null, current: account.current };
  const known = versions.find(
    (version) => version.rev === rev && (version.state === 'adopted' || version.state === 'promoted'),
  );
  if (known !== undefined) return { versions, adopted: null, current: known.n };
  const adopted = {
    account: account.account,
    n: account.nextVersion,
    job: null,
    rev,
    state: 'adopted',
    atMs: nowMs,
  } as const;
  return { versions: [adopted, ...versions], adopted, current: adopted.n };
}
