import type { RotationTrouble } from '@sallyport/protocol';
import type { StoredJob } from './stored-job.ts';

type Kept = Exclude<RotationTrouble, 'late'> | null;

/**
 * What stays wrong with a record's rotation after one of its jobs ended; null: nothing. `known` is what was wrong before.
 *
 * A rotation that went through cures all, what is run again cures what follows, and a person whose check opened has looked
 * at what failed. What needs a decision is told by `attention`, not here. Pure.
 */
export function troubleAfter(job: Pick<StoredJob, 'kind' | 'state' | 'why' | 'person' | 'after'>, known: Kept): Kept {
  if (job.state !== 'done' && job.state !== 'failed') return job.state === 'attention' ? null : known;
  const isDone = job.state === 'done';
  switch (job.kind) {
    case 'rotate':
      if (isDone) return isWhole(job) ? null : 'after';
      return job.why === 'missed' ? 'missed' : 'failed';
    case 'after':
      if (known !== null && known !== 'after') return known;
      return isDone ? null : 'after';
    case 'check':
      return isDone && job.person !== null && known !== 'after' ? null : known;
    case 'rehearse':
    case 'retire':
      return known;
    default:
      return job.kind satisfies never;
  }
}

function isWhole({ after }: Pick<StoredJob, 'after'>): boolean {
  if (after === null) return true;
  return [after.scripts, after.services].every((one) => one.failed + one.unknown + one.skipped === 0);
}
