import type { InstanceId, SessionId, StreamId } from '@sallyport/protocol';

/** A stream that was dispatched and has not ended. `session` is null after a router restart, until it ends. */
interface Booked {
  readonly session: SessionId | null;
  readonly instance: InstanceId;
  readonly open: boolean;
  readonly atMs: number;
  readonly matches: readonly string[];
}

/**
 * Streams by instance, in memory: for the session limit and the counts in lists, and to know whose word about a
 * stream counts when it was routed twice.
 *
 * B1 the holder of a stream is the instance that opened it, before that the last one picked.
 * B2 the end of a stream counts from its holder only; a loser's RESET ends nothing.
 */
export interface StreamBook {
  routed(stream: StreamId, session: SessionId, instance: InstanceId, match: string, nowMs: number): void;
  opened(stream: StreamId, instance: InstanceId): void;
  /** It got another pair of legs. */
  resumed(stream: StreamId, match: string): void;
  /** Does this end count? */
  ended(stream: StreamId, instance: InstanceId): boolean;
  sessionOf(stream: StreamId): SessionId | null;
  /** Whose word about a stream counts; null: nobody's. */
  holder(stream: StreamId): InstanceId | null;
  /** The instance said what runs on it; answers nothing, the store compares. */
  rejoined(instance: InstanceId, running: readonly StreamId[], nowMs: number): void;
  lost(instance: InstanceId): void;
  matchesOf(instance: InstanceId): readonly string[];
  matchesOfStream(stream: StreamId): readonly string[];
  /** Takes out streams that were routed before and never opened. */
  takeUnopened(beforeMs: number): readonly StreamId[];
}

/** Earlier pairs of legs of one stream that are still known: those that may not be gone yet. */
const legPairsKept = 3;

/** @param counted - called with the number of streams of an instance whenever it changes. */
export function createStreamBook(counted: (instance: InstanceId, streams: number) => void): StreamBook {
  const streams = new Map<StreamId, Booked>();
  const counts = new Map<InstanceId, number>();

  const count = (instance: InstanceId, by: number): void => {
    const now = Math.max(0, (counts.get(instance) ?? 0) + by);
    if (now === 0) counts.delete(instance);
    else counts.set(instance, now);
    counted(instance, now);
  };
  const remove = (stream: StreamId): void => {
    const old = streams.get(stream);
    if (old !== undefined && streams.delete(stream)) count(old.instance, -1);
  };
  const put = (stream: StreamId, booked: Booked): void => {
    remove(stream);
    streams.set(stream, booked);
    count(booked.instance, 1);
  };
  const ofInstance = (instance: InstanceId): [StreamId, Booked][] =>
    [...streams].filter(([, booked]) => booked.instance === instance);

  return {
    routed: (stream, session, instance, match, atMs) => {
      const old = streams.get(stream);
      const matches = [...(old?.matches ?? []), match];
      if (old?.open === true) streams.set(stream, { ...old, matches });
      else put(stream, { session, instance, open: false, atMs, matches });
    },
    opened: (stream, instance) => {
      const old = streams.get(stream);
      if (old !== undefined) put(stream, { ...old, instance, open: true });
    },
    resumed: (stream, match) => {
      const old = streams.get(stream);
      if (old !== undefined) streams.set(stream, { ...old, matches: [...old.matches.slice(-legPairsKept), match] });
    },
    ended: (stream, instance) => {
      const holder = streams.get(stream)?.instance;
      if (holder !== undefined && holder !== instance) return false;
      remove(stream);
      return true;
    },
    holder: (stream) => streams.get(stream)?.instance ?? null,
    sessionOf: (stream) => streams.get(stream)?.session ?? null,
    rejoined: (instance, running, nowMs) => {
      const listed = new Set(running);
      for (const [stream] of ofInstance(instance)) if (!listed.has(stream)) remove(stream);
      for (const stream of running) {
        const old = streams.get(stream);
        put(stream, { session: null, atMs: nowMs, matches: [], ...old, instance, open: true });
      }
    },
    lost: (instance) => {
      for (const [stream] of ofInstance(instance)) remove(stream);
    },
    matchesOf: (instance) => ofInstance(instance).flatMap(([, booked]) => booked.matches),
    matchesOfStream: (stream) => streams.get(stream)?.matches ?? [],
    takeUnopened: (beforeMs) => {
      const late = [...streams]
        .filter(([, booked]) => !booked.open && booked.atMs < beforeMs)
        .map(([stream]) => stream);
      for (const stream of late) remove(stream);
      return late;
    },
  };
}
