import type { EndReason, Notice, SessionId, StreamId } from '@sallyport/protocol';
import type { StopReason } from '@sallyport/stream';

export interface RunningStream {
  readonly stream: StreamId;
  readonly session: SessionId;
  readonly ticket: string;
  readonly controller: AbortController;
  /** OPENED was sent: from here on only its own ends, a kill or its time end it. */
  isOpen: boolean;
  /** Once open: says something to the user's end. */
  notify: ((notice: Notice) => void) | null;
}

/** The streams of this instance, from the accepted dispatch to their end. */
export interface StreamTable {
  readonly size: number;
  get(stream: StreamId): RunningStream | undefined;
  add(running: RunningStream): void;
  remove(stream: StreamId): void;
  ids(): readonly StreamId[];
  /** Ends these, or all when empty; `words` are for the user. */
  end(streams: readonly StreamId[], reason: EndReason, words?: string): void;
  notifyAll(notice: Notice): void;
  /** Resolves when no stream is left. */
  empty(): Promise<void>;
}

export function createStreamTable(): StreamTable {
  const streams = new Map<StreamId, RunningStream>();
  let waiters: (() => void)[] = [];
  return {
    get size() {
      return streams.size;
    },
    get: (stream) => streams.get(stream),
    add: (running) => {
      streams.set(running.stream, running);
    },
    remove: (stream) => {
      streams.delete(stream);
      if (streams.size > 0) return;
      for (const waiter of waiters) waiter();
      waiters = [];
    },
    ids: () => [...streams.keys()],
    end: (ids, reason, words = '') => {
      const ending = ids.length === 0 ? [...streams.values()] : ids.map((id) => streams.get(id));
      const stop: StopReason = { reason, words };
      for (const running of ending) running?.controller.abort(stop);
    },
    notifyAll: (notice) => {
      for (const running of streams.values()) running.notify?.(notice);
    },
    empty: () => (streams.size === 0 ? Promise.resolve() : new Promise((resolve) => waiters.push(resolve))),
  };
}
