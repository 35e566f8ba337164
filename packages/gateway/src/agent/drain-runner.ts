import type { LinkParams } from '@sallyport/protocol';
import { type DrainEffect, type DrainEvent, newDrainState, stepDrain } from './drain-life.ts';
import type { Log, Runtime } from './runtime.ts';

/** What a drain does to the work of an instance. */
export interface DrainedWorkload {
  /** Takes new work, or none for now, or none for ever. */
  hold(how: 'serve' | 'cordon' | 'for-good'): void;
  /** Tells whoever runs something here now, and whoever's dispatch was accepted before and opens later. */
  notify(message: string, deadlineInMs: number): void;
  /** Ends everything now. */
  reset(reason: 'drained' | 'stopped'): void;
  /** Resolves when nothing runs. */
  empty(): Promise<void>;
  /** How much runs. */
  count(): number;
}

export interface DrainRunnerDeps {
  readonly runtime: Runtime;
  readonly log: Log;
  /** As users know it: `host (id)`. */
  readonly name: string;
  readonly workload: DrainedWorkload;
  /** Says to the router that we drain; a link that is away or refuses is not the end of it. */
  readonly report: (deadlineInMs: number) => void;
}

export interface DrainRunner {
  told(intent: LinkParams<'link.intent'>['intent']): void;
  /** Begins a drain of our own. */
  stop(deadlineInMs: number): void;
  hurry(): void;
  linked(): void;
  /** It drains, or is gone. */
  isLeaving(): boolean;
  /** Resolves once, when it is time to say bye: nothing runs, or the deadline is over. */
  readonly over: Promise<'drained' | 'stopped'>;
}

/** Does what `stepDrain` decides. */
export function createDrainRunner(deps: DrainRunnerDeps): DrainRunner {
  const { runtime, log, workload } = deps;
  const { promise: over, resolve: leave } = Promise.withResolvers<'drained' | 'stopped'>();
  let state = newDrainState();
  let cancelWake = (): void => undefined;
  let watching = false;

  function send(event: DrainEvent): void {
    const step = stepDrain(state, event, runtime.monotonicMs());
    state = step.state;
    for (const effect of step.effects) apply(effect);
    if (state.phase === 'open' || state.phase === 'over' || watching) return;
    watching = true;
    void workload.empty().then(() => send({ kind: 'emptied' }));
  }

  function apply(effect: DrainEffect): void {
    switch (effect.kind) {
      case 'hold':
        workload.hold(effect.how);
        if (effect.how !== 'for-good') log.info(effect.how === 'cordon' ? 'cordoned' : 'uncordoned');
        return;
      case 'notify': {
        const seconds = Math.ceil(effect.deadlineInMs / 1_000);
        log.info('draining', { by: effect.by, deadlineSeconds: seconds, streams: workload.count() });
        return workload.notify(`instance ${deps.name} ${causes[effect.by]}`, effect.deadlineInMs);
      }
      case 'report':
        return deps.report(effect.deadlineInMs);
      case 'reset':
        if (workload.count() > 0) log.warn('streams are ended', { why: effect.reason, streams: workload.count() });
        return workload.reset(effect.reason);
      case 'leave':
        cancelWake();
        return leave(effect.reason);
      case 'wake':
        cancelWake();
        cancelWake = runtime.schedule(Math.max(0, effect.atMs - runtime.monotonicMs()), () => send({ kind: 'tick' }));
        return;
      default:
        effect satisfies never;
    }
  }

  return {
    told: (intent) => send({ kind: 'told', intent }),
    stop: (deadlineInMs) => send({ kind: 'signalled', deadlineInMs }),
    hurry: () => send({ kind: 'hurried' }),
    linked: () => send({ kind: 'linked' }),
    isLeaving: () => state.phase !== 'open',
    over,
  };
}

const causes = {
  operator: 'is drained by an operator',
  gateway: 'is being stopped',
  surplus: 'is over the maximum of its pool and drains',
} as const;
