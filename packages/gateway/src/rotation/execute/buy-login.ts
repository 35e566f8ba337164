import type { RunEvent } from '@sallyport/rotation';
import { callWithinMs, type HeldJob, type RunJobDeps } from './job-deps.ts';
import { type JobStore, newKey } from './job-store.ts';

/** One login, and whether it opened. */
export type LoginTry = () => Promise<{ readonly opens: boolean; readonly event: RunEvent }>;

/** A login with a version of the account: bought from its budget first, and returned when it opened. */
export function createLoginBudget(
  { opened }: HeldJob,
  store: JobStore,
  deps: Pick<RunJobDeps, 'call' | 'runtime'>,
): (try_: LoginTry) => Promise<RunEvent> {
  const { job } = opened.offer;
  const { account } = opened.names;
  return (try_) =>
    store.ask(async () => {
      const id = newKey();
      const { granted, inMs } = await deps.call(
        'job.login',
        { job, account, id, act: 'take' },
        { timeoutMs: callWithinMs },
      );
      if (!granted) return { type: 'budget-empty', untilMs: deps.runtime.nowMs() + inMs };
      const { opens, event } = await try_();
      if (opens) await deps.call('job.login', { job, account, id, act: 'return' }, { timeoutMs: callWithinMs });
      return event;
    });
}
