import { type ItemUid, PamError } from '@sallyport/protocol';
import type { RunEvent } from '@sallyport/rotation';
import type { Endpoint } from '../endpoint.ts';
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
  /** May something outside be touched now? Asked right before. */
  mayAct(): Promise<boolean>;
  /** The same for the same server: a key that was seen once is compared from then on. */
  ioOf(endpoint: Endpoint): TargetIo;
}

export function createActing({ opened, lease, signal }: HeldJob, deps: RunJobDeps): Acting {
  const { place } = opened;
  const ios = new Map<ItemUid, TargetIo>();
  const ioOf = (endpoint: Endpoint): TargetIo => {
    const io = ios.get(endpoint.resource) ?? deps.ioOf(endpoint);
    ios.set(endpoint.resource, io);
    return io;
  };
  const mayAct = async (): Promise<boolean> => (await deps.lease.whenActing(lease)) && !signal.aborted;
  return {
    mayAct,
    ioOf,
    act: async (what) => {
      if (place === null) return { type: 'impossible', why: 'record-invalid' };
      if (!(await mayAct())) return { type: 'fenced' };
      return what(place, ioOf(place));
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
