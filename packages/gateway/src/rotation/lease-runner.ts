import { type LinkResult, PamError, type Peer } from '@sallyport/protocol';
import { beginLease, type Clocks, type LeaseEffect, type LeaseEvent, mayAct, stepLease } from '@sallyport/rotation';
import type { Log, Runtime } from '../agent/index.ts';

export interface LeaseRunnerDeps {
  readonly runtime: Runtime;
  readonly clocks: () => Clocks;
  readonly log: Log;
}

/** The work lease of this instance: asked for as long as there is a link, counted on three clocks (I14). */
export interface LeaseRunner {
  linked(call: Peer<'instance'>['call']): void;
  unlinked(): void;
  /** The lease under which effects may begin at this very moment; null when none may. */
  acting(): number | null;
  /** Settles true when effects may begin under `lease`, false when it was given away or the runner stopped. */
  whenActing(lease: number): Promise<boolean>;
  times(): LinkResult<'lease.renew'>['times'];
  /** Nothing runs any more: jobs may go on elsewhere at once. */
  release(): Promise<void>;
  stop(): void;
}

const tickMs = 250;
const answerMs = 5_000;
const firstTimes = { leaseMs: 30_000, fenceMs: 20_000, renewalMs: 5_000, quiesceMs: 2_000, effectMs: 10_000 };

export function createLeaseRunner(deps: LeaseRunnerDeps): LeaseRunner {
  const { runtime, clocks, log } = deps;
  let times = firstTimes;
  let state = beginLease({ ...times, answerMs });
  let call: Peer<'instance'>['call'] | null = null;
  let cancelTick = (): void => undefined;
  let isStopped = false;
  const waiting = new Map<(acts: boolean) => void, number>();

  function send(event: LeaseEvent): void {
    const step = stepLease(state, event, clocks());
    state = step.state;
    for (const effect of step.effects) apply(effect);
  }

  function apply(effect: LeaseEffect): void {
    switch (effect.do) {
      case 'ask':
        void ask(effect);
        return;
      case 'go':
        return settle(effect.lease, true);
      case 'hold':
        log.warn('the work lease could not be renewed in time; jobs stand still', { lease: effect.lease });
        return;
      case 'abandon':
        log.warn('the work lease was given away; its jobs go on elsewhere', { lease: effect.lease });
        return settle(effect.lease, false);
      default:
        return effect satisfies never;
    }
  }

  function settle(lease: number, acts: boolean): void {
    for (const [done, wanted] of waiting) {
      if (wanted !== lease && acts) continue;
      waiting.delete(done);
      done(acts && wanted === lease);
    }
  }

  async function ask({ lease, after, askedAt }: LeaseEffect & { do: 'ask' }): Promise<void> {
    if (call === null) return send({ type: 'unanswered', askedAt });
    try {
      const answer = await call('lease.renew', { lease, after }, { timeoutMs: answerMs });
      ({ times } = answer);
      send({ type: 'answered', lease: answer.lease, askedAt, times: { ...times, answerMs } });
    } catch (reason) {
      const error = PamError.from(reason, 'PAM_INTERNAL', 'the work lease could not be asked for');
      const isLost = error.code === 'PAM_LEASE_LOST';
      log.debug('no work lease', { code: error.code, error: error.message });
      send({ type: isLost ? 'lost' : 'unanswered', askedAt });
    }
  }

  function tick(): void {
    if (isStopped) return;
    if (call !== null || state.held !== null) send({ type: 'tick' });
    cancelTick = runtime.schedule(Math.min(tickMs, Math.max(20, times.renewalMs / 4)), tick);
  }
  const acting = (): number | null => (mayAct(state, clocks()) ? (state.held?.lease ?? null) : null);

  return {
    linked: (peer) => {
      call = peer;
      cancelTick();
      tick();
    },
    unlinked: () => {
      call = null;
    },
    acting,
    whenActing: (lease) => {
      if (acting() === lease) return Promise.resolve(true);
      if (isStopped || (state.held !== null && state.held.lease !== lease) || state.held === null) {
        return Promise.resolve(false);
      }
      const { promise, resolve } = Promise.withResolvers<boolean>();
      waiting.set(resolve, lease);
      return promise;
    },
    times: () => times,
    release: async () => {
      const lease = state.held?.lease;
      if (call === null || lease === undefined) return;
      await call('lease.release', { lease }, { timeoutMs: 1_000 }).catch((error: PamError) =>
        log.debug('the router did not take the lease back', { code: error.code }),
      );
    },
    stop: () => {
      isStopped = true;
      cancelTick();
      for (const done of waiting.keys()) done(false);
      waiting.clear();
    },
  };
}
