import type { LinkParams } from '@sallyport/protocol';

export type StreamEvent = LinkParams<'stream.events'>['events'][number];

/** Most events kept while the link is away, and most in one signed batch (the signed event names at most 64 streams). */
export const reportLimits = { kept: 20_000, batch: 64 } as const;

/** Events of streams that the router has not acknowledged; plain data, changed only by the functions below. */
export interface ReportQueue {
  readonly events: readonly StreamEvent[];
  /** How many of `events`, from the front, are in the batch that is being sent. */
  readonly sending: number;
  /** Events that were given up because the queue was full. */
  readonly dropped: number;
}

export const emptyReportQueue: ReportQueue = { events: [], sending: 0, dropped: 0 };

/**
 * Adds one event. When the queue is full the oldest `opened` that is not being sent makes room, because its `ended`
 * says more; else the oldest event.
 */
export function addEvent(queue: ReportQueue, event: StreamEvent): ReportQueue {
  if (queue.events.length < reportLimits.kept) return { ...queue, events: [...queue.events, event] };
  const waiting = queue.events.slice(queue.sending);
  const opened = waiting.findIndex((each) => each.event === 'opened');
  const victim = queue.sending + Math.max(opened, 0);
  const events = [...queue.events.slice(0, victim), ...queue.events.slice(victim + 1), event];
  return { ...queue, events, dropped: queue.dropped + 1 };
}

/** The batch to send now; null while one is out or nothing waits. */
export function takeBatch(queue: ReportQueue): { readonly queue: ReportQueue; readonly batch: StreamEvent[] } | null {
  if (queue.sending > 0 || queue.events.length === 0) return null;
  const batch = queue.events.slice(0, reportLimits.batch);
  return { queue: { ...queue, sending: batch.length }, batch };
}

/** The batch was acknowledged: it is done with. */
export function acknowledgeBatch(queue: ReportQueue): ReportQueue {
  return { ...queue, events: queue.events.slice(queue.sending), sending: 0 };
}
