import { type LinkParams, PamError } from '@sallyport/protocol';
import type { Log, Runtime } from '../runtime.ts';
import type { EventChain } from './event-chain.ts';
import {
  acknowledgeBatch,
  addEvent,
  emptyReportQueue,
  type ReportQueue,
  type StreamEvent,
  takeBatch,
} from './report-queue.ts';

type SendEvents = (params: LinkParams<'stream.events'>) => Promise<unknown>;

/** Pause before a batch that failed over a standing link is sent again, ms. */
const retryAfterMs = 1_000;

/**
 * Reports to the router what happened to streams, in batches that the instance signs and numbers.
 *
 * E1 events reach the router in order, each at least once: a batch is sent again, as it was signed, until acknowledged.
 * E2 a number is signed once: a router that lost what it acknowledged is not helped to hide it.
 * E3 while the link is away they are kept, at most `reportLimits.kept`; what was given up is counted and logged.
 *
 * @see architecture section 3, "Audit"
 */
export interface StreamReporter {
  add(event: StreamEvent): void;
  /** A link is up: `send` puts one batch on it. */
  attach(send: SendEvents): void;
  detach(): void;
  /** Resolves when nothing waits, or the link is away. */
  flushed(): Promise<void>;
}

export function createStreamReporter(chain: EventChain, runtime: Runtime, log: Log): StreamReporter {
  let queue: ReportQueue = emptyReportQueue;
  let pending: readonly StreamEvent[] | null = null;
  let send: SendEvents | null = null;
  let running: Promise<void> | null = null;
  let cancelRetry = (): void => undefined;

  async function sendAll(): Promise<void> {
    while (send !== null) {
      if (pending === null) {
        const taken = takeBatch(queue);
        if (taken === null) return;
        ({ queue } = taken);
        pending = taken.batch;
      }
      const events = pending;
      const on = [...new Set(events.map((event) => event.stream))];
      const put = send;
      await chain.deliver({ act: 'stream.events', on, content: events }, (signed) =>
        put({ events: [...events], signed }),
      );
      pending = null;
      queue = acknowledgeBatch(queue);
    }
  }

  function kick(): void {
    if (running !== null || send === null) return;
    running = sendAll().then(
      () => {
        running = null;
        // What was added while the last batch settled found this run still standing.
        if (queue.events.length > 0) kick();
      },
      (reason: unknown) => {
        running = null;
        const error = PamError.from(reason, 'PAM_INTERNAL', 'a report could not be signed');
        log.debug('stream events not taken yet', { code: error.code });
        if (send !== null) cancelRetry = runtime.schedule(retryAfterMs, kick);
      },
    );
  }

  return {
    add: (event) => {
      const before = queue.dropped;
      queue = addEvent(queue, event);
      if (before === 0 && queue.dropped > 0)
        log.warn('too many stream events while the link is away: the oldest are given up');
      kick();
    },
    attach: (sender) => {
      send = sender;
      cancelRetry();
      kick();
    },
    detach: () => {
      send = null;
      cancelRetry();
    },
    flushed: async () => {
      while (running !== null) await running;
    },
  };
}
