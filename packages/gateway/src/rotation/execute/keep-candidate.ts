import type { HeldJob, RunJobDeps } from './job-deps.ts';

interface SealedCandidate {
  readonly rev: number;
  readonly gen: number;
  readonly envelope: string;
}

/** The sealed candidate of a job on this instance's own disk, before a target hears of it. */
export interface CandidateKeeping {
  /** Of one that was staged here. */
  staged(sealed: SealedCandidate): Promise<void>;
  /** Of the one that a holder before staged, if there was one; that one kept it, so the job goes on without it here. */
  taken(): Promise<void>;
  permitted(send: number): void;
}

export function createKeeping(
  { opened, claimed }: HeldJob,
  deps: Pick<RunJobDeps, 'journal' | 'log'>,
): CandidateKeeping {
  const { job, record } = opened.offer;
  const { account, server } = opened.names;
  const { epoch } = claimed;
  const keep = ({ rev, gen, envelope }: SealedCandidate): Promise<void> =>
    deps.journal.keep({ account, server, record, job, epoch, rev, gen, envelope });
  return {
    staged: keep,
    taken: async () => {
      const before = claimed.versions.find(({ n }) => n === claimed.candidate);
      if (before === undefined) return;
      await keep(before).catch((error: unknown) =>
        deps.log.error('a candidate that was taken over could not be kept', { job, error: String(error) }),
      );
    },
    permitted: (send) => deps.journal.sent(account, epoch, send),
  };
}
