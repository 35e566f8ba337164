import { followUpsKept } from '@sallyport/protocol';
import { type AccountRows, type Decision, fencedOff, type Holder, moved, refuse } from './account-rows.ts';
import type { FollowUpRow, JobRow, SendRow } from './rows.ts';

export type Report =
  | { readonly kind: 'wrote'; readonly send: number; readonly outcome: NonNullable<SendRow['outcome']> }
  | { readonly kind: 'verified'; readonly version: number; readonly send: number | null }
  | { readonly kind: 'converged'; readonly agreed: boolean }
  /** Nothing that is older than `version` opens any more. */
  | { readonly kind: 'retired'; readonly version: number }
  /** Something that follows the rotation begins, or ended. `isOnce`: it may do harm when it is begun twice. */
  | ({ readonly kind: 'follow-up'; readonly isOnce: boolean } & FollowUpRow)
  /** It is kept and goes on at `untilMs` (wall). */
  | { readonly kind: 'waits'; readonly why: string; readonly untilMs: number };

/** What the holder saw. A candidate that the policy refused is kept, and probed with the others (R8). */
export function decideReport(
  rows: AccountRows,
  request: Holder & { readonly what: Report },
): Decision<Record<never, never>> {
  const { job } = rows;
  const fenced = fencedOff(job, request);
  if (fenced !== null) return refuse(rows, fenced.code, fenced.why);
  const { what } = request;
  switch (what.kind) {
    case 'wrote':
      return wrote(rows, what);
    case 'verified':
      if (what.version !== job.candidate) return refuse(rows, 'PAM_CONFLICT', 'only the candidate can be verified');
      return { ok: true, rows: { ...rows, job: furthest(job, 'verified') }, answer: {} };
    case 'converged':
      if (job.step !== 'verified' && job.step !== 'converged') {
        return refuse(rows, 'PAM_CONFLICT', `nothing converges at ${job.step}`);
      }
      return { ok: true, rows: { ...rows, job: furthest(job, 'converged') }, answer: {} };
    case 'retired':
      return retired(rows, what.version);
    case 'follow-up':
      return followedUp(rows, what);
    case 'waits':
      return { ok: true, rows: { ...rows, job: { ...job, why: what.why, notBeforeMs: what.untilMs } }, answer: {} };
    default:
      return what satisfies never;
  }
}

/** R10: what was seen to be removed is older than what the vault holds; the run of a promotion, or a job for it, says so. */
function retired(rows: AccountRows, version: number): Decision<Record<never, never>> {
  const { account, job } = rows;
  // An edit of the record since the promotion makes a version of its own, which nothing was written with.
  const kept = job.kind === 'retire' ? account.current : job.step === 'promoted' ? job.candidate : null;
  if (version !== kept) {
    return refuse(rows, 'PAM_CONFLICT', `nothing is retired for version ${version} at ${job.step}`);
  }
  return { ok: true, rows: { ...rows, account: { ...account, leftover: null } }, answer: {} };
}

/** Each that is begun or ends for the first time is progress (I15): whoever takes over has less to do. */
function followedUp(rows: AccountRows, what: Report & { kind: 'follow-up' }): Decision<Record<never, never>> {
  const { job } = rows;
  const { name, state, isOnce } = what;
  const known = job.followUps.find((one) => one.name === name);
  if (state === 'begun' && known !== undefined && (isOnce || known.state !== 'begun')) {
    return refuse(rows, 'PAM_CONFLICT', `it was begun before, and is ${known.state}`);
  }
  if (known?.state === state) return { ok: true, rows, answer: {} };
  if (known === undefined && job.followUps.length >= followUpsKept) {
    return refuse(rows, 'PAM_CONFLICT', `more than ${followUpsKept} scripts and services`);
  }
  const followUps = [...job.followUps.filter((one) => one !== known), { name, state }];
  return { ok: true, rows: { ...rows, job: { ...job, followUps, attempts: 0 } }, answer: {} };
}

/** A report never takes a job back. */
function furthest(job: JobRow, step: 'verified' | 'converged'): JobRow {
  const next = moved(job, step);
  return job.step === 'promoted' || job.step === 'done' || job.step === 'converged' ? job : next;
}

function wrote(rows: AccountRows, what: Report & { kind: 'wrote' }): Decision<Record<never, never>> {
  const { job } = rows;
  const sent = job.sends.find((each) => each.send === what.send);
  if (sent === undefined) return refuse(rows, 'PAM_CONFLICT', `no write was permitted under ${what.send}`);
  const sends = job.sends.map((each) => (each === sent ? { ...each, outcome: what.outcome } : each));
  if (what.outcome === 'applied' && job.step === 'permitted') {
    return { ok: true, rows: { ...rows, job: { ...moved(job, 'applied'), sends } }, answer: {} };
  }
  if (what.outcome !== 'policy' || job.candidate !== sent.version) {
    return { ok: true, rows: { ...rows, job: { ...job, sends } }, answer: {} };
  }
  const versions = rows.versions.map((version) =>
    version.n === sent.version ? { ...version, state: 'refused' as const } : version,
  );
  const refused = { ...job, step: 'new', sends, candidate: null, rejections: job.rejections + 1 } as const;
  return { ok: true, rows: { ...rows, versions, job: refused }, answer: {} };
}
