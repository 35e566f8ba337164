import { type JobId, PamError } from '@sallyport/protocol';
import { beginRun, type RunEffect, type RunEvent, stepRun } from '@sallyport/rotation';
import { callWithinMs, type Claimed, type RunJobDeps } from './execute/job-deps.ts';
import { createExecutor, type Executor, type JobEnd } from './execute/job-executor.ts';
import { isStoreAway } from './execute/job-store.ts';
import type { OpenedJob } from './open-job.ts';

/** A job that runs here. */
export interface RunningJob {
  readonly job: JobId;
  /** Somebody asked it to stop: before the first write it does, afterwards it finishes what it began. */
  cancel(): void;
  /** Ends everything under way; nothing more is said to the router. */
  abort(): void;
  /** Settles when nothing of it runs any more. Never rejects. */
  readonly over: Promise<void>;
}

const askAgainMs = 500;
const waits = { waitFirstMs: 2_000, waitMaxMs: 15 * 60_000, waitsAtMost: 12 } as const;

/** Claims an offered job and runs it to its end: executes the effects of `stepRun`, one at a time. */
export function runJob(opened: OpenedJob, lease: number, deps: RunJobDeps): RunningJob {
  const { job, kind } = opened.offer;
  const controller = new AbortController();
  const pending: RunEvent[] = [];
  let wake = (): void => undefined;

  const over = run().catch((reason: unknown) => {
    const code = reason instanceof PamError ? reason.code : 'PAM_INTERNAL';
    deps.log.warn('a job is left to somebody else', { job, code, error: String(reason) });
  });

  async function run(): Promise<void> {
    const claimed = await claim();
    deps.log.info('job claimed', { job, kind, step: claimed.step, epoch: claimed.epoch });
    const executor = createExecutor({ opened, claimed, lease, signal: controller.signal }, deps);
    try {
      const ends = await executor.early();
      if (ends === null) await drive(executor, claimed);
      else await end(executor, ends);
    } catch (reason) {
      // Kept by a process that does nothing with it, the job would stand still for as long as the lease lives.
      const ended = await end(executor, { outcome: 'failed', why: 'internal' });
      // The store takes no `failed` where something may have been written: then a person has to look.
      if (ended.type !== 'recorded') await end(executor, { outcome: 'attention', why: 'internal' });
      throw reason;
    } finally {
      await executor.close();
    }
  }

  /** Asked again while its answer is lost: the store may have given it, and would wait for us as long as the lease lives. */
  async function claim(): Promise<Claimed> {
    const { account, server } = opened.names;
    for (;;) {
      try {
        return await deps.call('job.claim', { job, lease, account, server }, { timeoutMs: callWithinMs });
      } catch (reason) {
        if (!isStoreAway(reason) || !(await mayAskAgain())) throw reason;
      }
    }
  }

  /** Said again while the store cannot be asked: nobody else ends it as long as the lease is ours. */
  async function end(executor: Executor, as: JobEnd): Promise<RunEvent> {
    for (;;) {
      const said = await executor.execute({ do: 'finish', ...as });
      if (said.type !== 'store-away' || !(await mayAskAgain())) return said;
    }
  }

  async function mayAskAgain(): Promise<boolean> {
    if (controller.signal.aborted || !(await deps.lease.whenActing(lease))) return false;
    const { promise, resolve } = Promise.withResolvers<void>();
    deps.runtime.schedule(askAgainMs, resolve);
    await promise;
    return true;
  }

  async function drive(executor: Executor, claimed: Claimed): Promise<void> {
    const { sends, rejections, candidate, current, base, step, epoch } = claimed;
    if (kind === 'after') throw new PamError('PAM_INTERNAL', 'what only follows a rotation has no run');
    const versions = await executor.believed();
    const view = { kind, epoch, step, base, current, candidate, rejections, sends, address: null, versions };
    const times = deps.lease.times();
    let { state, effect } = stepRun(
      beginRun(view, {
        ...{ by: executor.by, fence: executor.fence, replicas: opened.settings.replicas.length },
        settleMs: times.effectMs + times.quiesceMs,
        ...waits,
      }),
      { type: 'begin' },
    );
    if (claimed.cancelAsked) pending.push({ type: 'cancel' });
    while (effect !== null) {
      const startedMs = deps.runtime.monotonicMs();
      const doing: RunEffect = effect;
      const answer = executor.execute(doing);
      const event = await firstOf(answer);
      deps.step(doing.do, deps.runtime.monotonicMs() - startedMs);
      let next = stepRun(state, event);
      // Cancelled while the effect runs: either it ends here, or its answer is still awaited.
      if (event.type === 'cancel' && next.effect === null) next = stepRun(next.state, await answer);
      ({ state, effect } = next);
    }
    deps.log.info('job over', { job, kind });
  }

  async function firstOf(answer: Promise<RunEvent>): Promise<RunEvent> {
    const { promise, resolve } = Promise.withResolvers<void>();
    wake = resolve;
    const told = promise.then((): RunEvent => pending.shift() ?? { type: 'fenced' });
    if (pending.length > 0) resolve();
    return Promise.race([answer, told]);
  }

  return {
    job,
    cancel: () => {
      pending.push({ type: 'cancel' });
      wake();
    },
    abort: () => controller.abort(new PamError('PAM_INTERRUPTED', 'the instance stops')),
    over,
  };
}
