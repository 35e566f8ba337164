import type { DeviceId, EndReason, Notice, SessionId, StreamId } from '@sallyport/protocol';
import { resumeTimes, type StopReason, type StreamDoor } from '@sallyport/stream';

export interface RunningStream {
  readonly stream: StreamId;
  readonly session: SessionId;
  readonly ticket: string;
  readonly controller: AbortController;
  /** Who signed the request, whose key may resume, and until when (Unix seconds) it is good. */
  readonly request: { readonly iss: DeviceId; readonly cnf: string; readonly until: number };
  /** Set with OPENED: from here on only its own ends, a kill or its time end it, and a lost carrier may be replaced. */
  opened: StreamDoor | null;
  /** Legs on which somebody may be about to resume. */
  resuming: number;
}

/** The streams of this instance, from the accepted dispatch to their end, and for a while after it. */
export interface StreamTable {
  readonly size: number;
  get(stream: StreamId): RunningStream | undefined;
  /** A stream that was opened here and runs, or ended less than 150 s ago: it can still say so. */
  resumable(stream: StreamId): RunningStream | undefined;
  /** Takes the place of an earlier attempt at the same stream. */
  add(running: RunningStream): void;
  /** Forgets this attempt; false: another one took its place, and stays. */
  remove(running: RunningStream): boolean;
  ids(): readonly StreamId[];
  /** Ends these, or all when empty; `words` are for the user. */
  end(streams: readonly StreamId[], reason: EndReason, words?: string): void;
  notifyAll(notice: Notice): void;
  /** Resolves when no stream is left. */
  empty(): Promise<void>;
}

/** Ended streams that are remembered; one too many, and the oldest is forgotten. A few hundred bytes each. */
const tombstonesKept = 4_096;

export function createStreamTable(monotonicMs: () => number): StreamTable {
  const streams = new Map<StreamId, RunningStream>();
  const tombstones = new Map<StreamId, { readonly of: RunningStream; readonly untilMs: number }>();
  let waiters: (() => void)[] = [];

  /** Keeps what answers, and nothing of what ran: no socket, no request. */
  function bury(ended: RunningStream, door: StreamDoor): void {
    const { stream, session, ticket, request } = ended;
    const { iss, cnf, until } = request;
    const opened = door.tombstone();
    const of = { stream, session, ticket, controller: new AbortController(), request: { iss, cnf, until }, opened };
    const now = monotonicMs();
    for (const [oldest, { untilMs }] of tombstones) {
      if (untilMs > now && tombstones.size < tombstonesKept) break;
      tombstones.delete(oldest);
    }
    tombstones.set(stream, { of: { ...of, resuming: 0 }, untilMs: now + resumeTimes.tombstoneMs });
  }

  return {
    get size() {
      return streams.size;
    },
    get: (stream) => streams.get(stream),
    resumable: (stream) => {
      const running = streams.get(stream);
      if (running !== undefined) return running.opened === null ? undefined : running;
      const tombstone = tombstones.get(stream);
      return tombstone !== undefined && tombstone.untilMs > monotonicMs() ? tombstone.of : undefined;
    },
    add: (running) => {
      streams.set(running.stream, running);
    },
    remove: (ended) => {
      if (streams.get(ended.stream) !== ended) return false;
      streams.delete(ended.stream);
      if (ended.opened !== null) bury(ended, ended.opened);
      if (streams.size > 0) return true;
      for (const waiter of waiters) waiter();
      waiters = [];
      return true;
    },
    ids: () => [...streams.keys()],
    end: (ids, reason, words = '') => {
      const ending = ids.length === 0 ? [...streams.values()] : ids.map((id) => streams.get(id));
      const stop: StopReason = { reason, words };
      for (const running of ending) running?.controller.abort(stop);
    },
    notifyAll: (notice) => {
      for (const running of streams.values()) running.opened?.notify(notice);
    },
    empty: () => (streams.size === 0 ? Promise.resolve() : new Promise((resolve) => waiters.push(resolve))),
  };
}
