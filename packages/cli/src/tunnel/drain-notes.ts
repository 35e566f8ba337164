import type { InstanceId, Notice } from '@sallyport/protocol';

/** What a tunnel says of an instance that drains. */
export interface DrainNews {
  readonly instance: InstanceId;
  /** The instance's own words. */
  readonly message: string;
  readonly deadlineInMs: number;
  /** Connections of this tunnel that run there. */
  readonly streams: number;
}

/**
 * Makes one piece of news of the notices that every stream on a draining instance gets. What it makes runs a command of
 * the user's, and an instance that was broken into may send notices for ever:
 *
 * N1 once per instance and deadline; again only when the deadline moved earlier by more than a second.
 * N2 of one instance at most four times, whatever it says.
 * N3 a thousand instances are remembered; the one that was told of first is forgotten first.
 */
export interface DrainNotes {
  opened(instance: InstanceId): void;
  ended(instance: InstanceId): void;
  noticed(instance: InstanceId, notice: Notice): void;
}

export const drainNoteLimits = { sameMs: 1_000, timesPerInstance: 4, instances: 1_000 } as const;

interface Told {
  readonly untilMs: number;
  readonly times: number;
}

export function createDrainNotes(monotonicMs: () => number, tell: (news: DrainNews) => void): DrainNotes {
  const streams = new Map<InstanceId, number>();
  const told = new Map<InstanceId, Told>();
  const count = (instance: InstanceId, by: number): void => {
    const now = (streams.get(instance) ?? 0) + by;
    if (now <= 0) streams.delete(instance);
    else streams.set(instance, now);
  };
  return {
    opened: (instance) => count(instance, 1),
    ended: (instance) => count(instance, -1),
    noticed: (instance, { message, deadlineInMs }) => {
      const untilMs = monotonicMs() + deadlineInMs;
      const { sameMs, timesPerInstance, instances } = drainNoteLimits;
      const before = told.get(instance) ?? { untilMs: Number.POSITIVE_INFINITY, times: 0 };
      if (untilMs >= before.untilMs - sameMs || before.times >= timesPerInstance) return;
      told.set(instance, { untilMs, times: before.times + 1 });
      const [oldest] = told.size > instances ? told.keys() : [];
      if (oldest !== undefined) told.delete(oldest);
      tell({ instance, message, deadlineInMs, streams: streams.get(instance) ?? 0 });
    },
  };
}
