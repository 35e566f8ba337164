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
 * Makes one piece of news of the notices that every stream on a draining instance gets: the first, and another only
 * when the deadline moved earlier by more than a second.
 */
export interface DrainNotes {
  opened(instance: InstanceId): void;
  ended(instance: InstanceId): void;
  noticed(instance: InstanceId, notice: Notice): void;
}

const sameMs = 1_000;

export function createDrainNotes(monotonicMs: () => number, tell: (news: DrainNews) => void): DrainNotes {
  const streams = new Map<InstanceId, number>();
  const told = new Map<InstanceId, number>();
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
      const before = told.get(instance);
      if (before !== undefined && untilMs >= before - sameMs) return;
      told.set(instance, untilMs);
      tell({ instance, message, deadlineInMs, streams: streams.get(instance) ?? 0 });
    },
  };
}
