import { type AccountRows, type Decision, fencedOff, type Holder, moved, refuse } from './account-rows.ts';
import { policyRefusals } from './rows.ts';

/**
 * Keeps a candidate. R7: it is stored before any permit; one at a time, and the next only after a policy refusal.
 *
 * @param request.rev - revision that the sealed candidate would become: the base plus 1.
 */
export function decideStage(
  rows: AccountRows,
  request: Holder & { readonly rev: number },
  nowMs: number,
): Decision<{ readonly version: number }> {
  const { account, job } = rows;
  const fenced = fencedOff(job, request);
  if (fenced !== null) return refuse(rows, fenced.code, fenced.why);
  if (job.kind !== 'rotate') return refuse(rows, 'PAM_CONFLICT', `a job of kind ${job.kind} changes nothing`);
  if (job.candidate !== null) return refuse(rows, 'PAM_CONFLICT', `the job has the candidate ${job.candidate}`);
  if (job.rejections >= policyRefusals) return refuse(rows, 'PAM_CONFLICT', 'too many candidates were refused');
  if (job.base === null || request.rev !== job.base + 1) {
    return refuse(rows, 'PAM_CONFLICT', `a candidate is revision ${(job.base ?? 0) + 1}, not ${request.rev}`);
  }
  const n = account.nextVersion;
  const version = {
    account: account.account,
    n,
    job: job.id,
    rev: request.rev,
    state: 'candidate',
    atMs: nowMs,
  } as const;
  return {
    ok: true,
    rows: {
      ...rows,
      account: { ...account, nextVersion: n + 1 },
      versions: [version, ...rows.versions],
      job: { ...moved(job, 'intent'), candidate: n },
    },
    answer: { version: n },
  };
}
