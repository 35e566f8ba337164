import type { Acting } from './acting.ts';
import type { FollowUps, HeldJob, RunJobDeps } from './job-deps.ts';

import type { JobStore } from './job-store.ts';

const askAgainMs = 500;

/** The store's memory of what was begun, as scripts and services need it. */
export function createFollowUps(
  { claimed }: HeldJob,
  { acting, store }: { readonly acting: Acting; readonly store: JobStore },
  { runtime }: Pick<RunJobDeps, 'runtime'>,
): FollowUps {
  const report: FollowUpReport = async (name, isOnce, state) => {
    const { type } = await store.report({ kind: 'follow-up', name, isOnce, state }, { type: 'recorded' });
    return type === 'store-away' ? 'away' : type === 'recorded' ? 'kept' : 'refused';
  };
  return {
    before: new Map(claimed.followUps.map(({ name, state }) => [name, state])),
    begin: async (name, isOnce) => {
      for (;;) {
        const answer = await report(name, isOnce, 'begun');
        if (answer !== 'away') return answer === 'kept';
        if (!(await acting.mayAct())) return false;
        const { promise, resolve } = Promise.withResolvers<void>();
        runtime.schedule(askAgainMs, resolve);
        await promise;
      }
    },
    end: async (name, isOnce, state) => void (await report(name, isOnce, state)),
  };
}

type FollowUpReport = (
  name: string,
  isOnce: boolean,
  state: 'begun' | 'done' | 'failed' | 'unknown',
) => Promise<'kept' | 'refused' | 'away'>;
