import type { RunEffect, RunEvent } from '@sallyport/rotation';
import type { HeldJob, RunJobDeps } from './job-deps.ts';
import type { JobStore } from './job-store.ts';

/** Stays on this instance for a while; one that drains gives the job back instead. */
export async function pauseJob(
  { signal }: HeldJob,
  effect: RunEffect & { do: 'pause' },
  store: JobStore,
  deps: Pick<RunJobDeps, 'runtime' | 'isDraining'>,
): Promise<RunEvent> {
  const ms = effect.untilMs === null ? effect.ms : Math.max(effect.ms, effect.untilMs - deps.runtime.nowMs());
  if (deps.isDraining()) {
    const answer = await store.wait({ do: 'wait', ms, untilMs: null, why: effect.why });
    // What the router did not take goes on here for as long as this process lives; asked again without a pause it would spin.
    if (answer.type === 'recorded' || answer.type === 'fenced') return { type: 'fenced' };
  }
  const untilMs = Math.ceil(deps.runtime.nowMs() + ms);
  await store.report({ kind: 'waits', why: effect.why, untilMs }, { type: 'resumed' });
  await new Promise<void>((resolve) => {
    const cancel = deps.runtime.schedule(ms, resolve);
    signal.addEventListener(
      'abort',
      () => {
        cancel();
        resolve();
      },
      { once: true },
    );
  });
  return signal.aborted ? { type: 'fenced' } : { type: 'resumed' };
}
