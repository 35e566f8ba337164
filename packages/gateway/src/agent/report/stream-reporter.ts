import { type LinkParams, PamError } from '@sallyport/protocol';
import { digestOf, eventHash, type SigningKey, signEvent } from '@sallyport/seal';
import type { Log, Runtime } from '../runtime.ts';
import {
  acknowledgeBatch,
  addEvent,
  emptyReportQueue,
  type ReportQueue,
  type StreamEvent,
  takeBatch,
} from './report-queue.ts';

type SendEvents = (params: LinkParams<'stream.events'>) => Promise<unknown>;

interface Chain {
  readonly seq: number;
  readonly prev: string;
}
interface Batch {
  readonly params: LinkParams<'stream.events'>;
  readonly next: Chain;
}

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

export function createStreamReporter(key: SigningKey, runtime: Runtime, log: Log): StreamReporter {
  let queue: ReportQueue = emptyReportQueue;
  let chain: Chain = { seq: 0, prev: '' };
  let pending: Batch | null = null;
  let send: SendEvents | null = null;
  let running: Promise<void> | null = null;
  let cancelRetry = (): void => undefined;

  async function sign(events: readonly StreamEvent[], after: Chain): Promise<Batch> {
    const on = [...new Set(events.map((event) => event.stream))];
    const digest = await digestOf(events);
    const at = Math.floor(runtime.nowMs() / 1_000);
    const seq = after.seq + 1;
    const signed = await signEvent({ actor: key.id, seq, prev: after.prev, at, act: 'stream.events', on, digest }, key);
    return { params: { events: [...events], signed }, next: { seq, prev: await eventHash(signed) } };
  }

  async function sendAll(): Promise<void> {
    while (send !== null) {
      if (pending === null) {
        const taken = takeBatch(queue);
        if (taken === null) return;
        queue = taken.queue;
        pending = await sign(taken.batch, chain);
        continue;
      }
      const batch = pending;
      try {
        await send(batch.params);
        chain = batch.next;
        pending = null;
        queue = acknowledgeBatch(queue);
      } catch (reason) {
        const stored = storedChain(reason);
        if (stored === null || stored.seq < chain.seq || stored.seq === batch.next.seq - 1) throw reason;
        pending = await sign(batch.params.events, stored);
      }
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

/** Where the router says our chain stands, when it lost count of it. */
function storedChain(reason: unknown): Chain | null {
  if (!(reason instanceof PamError) || reason.code !== 'PAM_AUDIT_SEQUENCE') return null;
  const { stored, storedHash } = reason.detail;
  return typeof stored === 'number' && typeof storedHash === 'string' ? { seq: stored, prev: storedHash } : null;
}
