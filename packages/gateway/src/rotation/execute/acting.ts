import { PamError } from '@sallyport/protocol';
import type { RunEvent } from '@sallyport/rotation';
import type { Place } from '../open-job.ts';
import type { TargetIo } from '../target-io.ts';
import type { HeldJob, RunJobDeps } from './job-deps.ts';

/** A login or a question to a target takes at most this, ms. */
export const loginWithinMs = 20_000;

/** Touches the target only while the lease lets it, and never for longer than it may take. */
export interface Acting {
  act(what: (where: Place, io: TargetIo) => Promise<RunEvent>): Promise<RunEvent>;
  /** @throws PAM_TARGET_TIMEOUT through the signal, when time is over. */
  within<T>(ms: number, what: (signal: AbortSignal) => Promise<T>): Promise<T>;
}

export function createActing({ opened, lease, signal }: HeldJob, deps: RunJobDeps): Acting {
  const { place } = opened;
  const io = place === null ? null : deps.ioOf(place);
  return {
    act: async (what) => {
      if (place === null || io === null) return { type: 'impossible', why: 'record-invalid' };
      if (!(await deps.lease.whenActing(lease)) || signal.aborted) return { type: 'fenced' };
      return what(place, io);
    },
    within: async (ms, what) => {
      const limit = new AbortController();
      const cancel = deps.runtime.schedule(ms, () =>
        limit.abort(new PamError('PAM_TARGET_TIMEOUT', 'no answer in time')),
      );
      try {
        return await what(AbortSignal.any([signal, limit.signal]));
      } finally {
        cancel();
      }
    },
  };
}
