import type { InstanceId } from '@sallyport/protocol';
import type { AccountRow, JobRow, JobStep, LoginRow, VersionRow } from './rows.ts';
import { jobSteps } from './rows.ts';

/** Everything that a decision about one account reads and writes: rows of one transaction, locked. */
export interface AccountRows {
  readonly account: AccountRow;
  readonly job: JobRow;
  /** The newest versions, the current one, and all of the job's. */
  readonly versions: readonly VersionRow[];
  /** Those of the last `probeBudget.windowMs`. */
  readonly logins: readonly LoginRow[];
}

export type RefusalCode =
  | 'PAM_JOB_BUSY'
  | 'PAM_JOB_ENDED'
  | 'PAM_JOB_FENCED'
  | 'PAM_JOB_POISON'
  | 'PAM_ACCOUNT_SHARED'
  | 'PAM_CONFLICT';

/** What is to be stored with the answer; a refusal may change rows too: a job that waits for its account, or is poison. */
export type Decision<Answer, Rows = AccountRows> =
  | { readonly ok: true; readonly rows: Rows; readonly answer: Answer }
  | { readonly ok: false; readonly rows: Rows; readonly code: RefusalCode; readonly why: string };

/** Who says that he holds the job. */
export interface Holder {
  readonly instance: InstanceId;
  readonly epoch: number;
}

export const openStates = ['queued', 'running', 'waiting'] as const;

export function isOpen(job: Pick<JobRow, 'state'>): boolean {
  return openStates.some((state) => state === job.state);
}

/** Why `holder` may not speak for the job; null when he may. R5: only the highest epoch writes. */
export function fencedOff(job: JobRow, holder: Holder): { code: RefusalCode; why: string } | null {
  if (!isOpen(job)) return { code: 'PAM_JOB_ENDED', why: `the job ended: ${job.state}` };
  if (job.state === 'running' && job.holder?.instance === holder.instance && job.epoch === holder.epoch) return null;
  return { code: 'PAM_JOB_FENCED', why: `epoch ${holder.epoch} of this instance does not hold the job` };
}

export function refuse<Rows>(
  rows: Rows,
  code: RefusalCode,
  why: string,
): { readonly ok: false; readonly rows: Rows; readonly code: RefusalCode; readonly why: string } {
  return { ok: false, rows, code, why };
}

/** The job one step on; getting further than before is progress (I15), going back is none. */
export function moved(job: JobRow, step: JobStep): JobRow {
  const isFurther = jobSteps.indexOf(step) > jobSteps.indexOf(job.step);
  return { ...job, step, attempts: isFurther ? 0 : job.attempts };
}
