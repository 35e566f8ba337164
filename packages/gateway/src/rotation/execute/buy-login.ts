import type { RunEvent } from '@sallyport/rotation';
import { callWithinMs, type HeldJob, type RunJobDeps } from './job-deps.ts';
import { isStoreAway, type JobStore, newKey } from './job-store.ts';

/** One login. `isSpent`: it may count as refused at the server (`staysTaken`). */
export type LoginTry = () => Promise<{ readonly isSpent: boolean; readonly event: RunEvent }>;

/** A login with a version of the account: bought from its budget first, and given back when it cost nothing. */
export function createLoginBudget(
  { opened }: Pick<HeldJob, 'opened'>,
  store: Pick<JobStore, 'ask'>,
  deps: Pick<RunJobDeps, 'call' | 'runtime'>,
): (try_: LoginTry) => Promise<RunEvent> {
  const { job } = opened.offer;
  const { account } = opened.names;
  /** Taken for all the store knows, and no refusal: it is told again until it has heard. */
  const owed = new Set<string>();
  const say = (id: string, act: 'take' | 'return') =>
    deps.call('job.login', { job, account, id, act }, { timeoutMs: callWithinMs });

  async function giveBack(): Promise<void> {
    for (const id of owed) {
      await say(id, 'return');
      owed.delete(id);
    }
  }

  return (try_) =>
    store.ask(async () => {
      await giveBack();
      const id = newKey();
      // The answer may be lost after it was granted: then nothing was tried with it.
      owed.add(id);
      const { granted, inMs } = await say(id, 'take');
      owed.delete(id);
      if (!granted) return { type: 'budget-empty', untilMs: deps.runtime.nowMs() + inMs };
      const { isSpent, event } = await try_();
      if (!isSpent) owed.add(id);
      // What the server said is known whether or not the store can be told now.
      await giveBack().catch((reason: unknown) => {
        if (!isStoreAway(reason)) throw reason;
      });
      return event;
    });
}
