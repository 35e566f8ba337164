import type { EndReason, InstanceId, SessionId, StreamId } from '@sallyport/protocol';

/** A stream that was dispatched and has not ended. `session` is null after a router restart, until it ends. */
interface Booked {
  readonly session: SessionId | null;
  /** Placed there and not opened yet, in the order of the picks: a client may pass one over and have two at once. */
  readonly placed: readonly InstanceId[];
  /** Opened there, in the order in which the instances said so. */
  readonly open: readonly InstanceId[];
  readonly atMs: number;
  readonly matches: readonly string[];
}

/** What the end at one instance means for a stream. */
type StreamEnd =
  /** It was the end of the stream. */
  | { readonly kind: 'over' }
  /** Another attempt lives: the stream is there now. */
  | { readonly kind: 'held'; readonly by: InstanceId }
  /** Nothing: this instance had no attempt that counts. */
  | { readonly kind: 'foreign' };

/**
 * Streams by instance, in memory: for the session limit and the counts in lists, and to know whose word about a
 * stream counts when it was routed twice.
 *
 * B1 the holder of a stream is the instance that opened it first, before that the last one picked.
 * B2 where an attempt ends and another lives, the stream does not end: the client passes over who is silent, and takes
 *    back from the others what one has opened. It ends with its last attempt, or when an instance that opened it tells
 *    an end that its user or target made.
 */
export interface StreamBook {
  routed(stream: StreamId, session: SessionId, instance: InstanceId, match: string, nowMs: number): void;
  /** @returns the holder now: another one that opened it before keeps it. */
  opened(stream: StreamId, instance: InstanceId, nowMs: number): InstanceId;
  /** It got another pair of legs. */
  resumed(stream: StreamId, match: string): void;
  ended(stream: StreamId, instance: InstanceId, reason: EndReason): StreamEnd;
  sessionOf(stream: StreamId): SessionId | null;
  /** Whose word about a stream counts; null: nobody's. */
  holder(stream: StreamId): InstanceId | null;
  /** Everybody who may run it now. */
  attempts(stream: StreamId): readonly InstanceId[];
  /** The instance said what runs on it; answers the streams that are elsewhere now. The store compares the rest. */
  rejoined(instance: InstanceId, running: readonly StreamId[], nowMs: number): readonly MovedStream[];
  /** @returns its streams that are elsewhere now. */
  lost(instance: InstanceId): readonly MovedStream[];
  matchesOf(instance: InstanceId): readonly string[];
  matchesOfStream(stream: StreamId): readonly string[];
  /** Takes out streams that were routed before and never opened. */
  takeUnopened(beforeMs: number): readonly StreamId[];
}

export interface MovedStream {
  readonly stream: StreamId;
  readonly instance: InstanceId;
}

/** Earlier pairs of legs of one stream that are still known: those that may not be gone yet. */
const legPairsKept = 3;

/**
 * Ends that a user, a target or an order made: the stream is over, whatever else was tried. The others are also told by
 * an instance from which the client took the stream back, or whose carrier was lost when it did.
 */
const madeByEnds: ReadonlySet<EndReason> = new Set<EndReason>([
  'client-closed',
  'target-closed',
  'client-reset',
  'target-reset',
  'not-allowed',
  'deadline',
  'signed-out',
  'drained',
  'killed',
]);

const holderOf = ({ open, placed }: Booked): InstanceId | null => open[0] ?? placed.at(-1) ?? null;
const isAt = ({ open, placed }: Booked, instance: InstanceId): boolean =>
  open.includes(instance) || placed.includes(instance);
const without = (booked: Booked, instance: InstanceId): Booked => ({
  ...booked,
  placed: booked.placed.filter((each) => each !== instance),
  open: booked.open.filter((each) => each !== instance),
});

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
  /** Takes over what is known of a stream now; with nobody left it is gone. */
  const put = (stream: StreamId, booked: Booked): InstanceId | null => {
    const old = streams.get(stream);
    const before = old === undefined ? null : holderOf(old);
    const now = holderOf(booked);
    if (now === null) streams.delete(stream);
    else streams.set(stream, booked);
    if (before === now) return now;
    if (before !== null) count(before, -1);
    if (now !== null) count(now, 1);
    return now;
  };
  const remove = (stream: StreamId): void => {
    const old = streams.get(stream);
    if (old !== undefined) put(stream, { ...old, placed: [], open: [] });
  };
  const fresh = (session: SessionId | null, atMs: number): Booked => ({
    ...{ session, atMs },
    ...{ placed: [], open: [], matches: [] },
  });
  const heldBy = (instance: InstanceId): [StreamId, Booked][] =>
    [...streams].filter(([, booked]) => holderOf(booked) === instance);
  /** The instance has none of these streams; answers those that go on elsewhere. */
  const leave = (instance: InstanceId, listed: ReadonlySet<StreamId>): readonly MovedStream[] => {
    const moved: MovedStream[] = [];
    for (const [stream, booked] of streams) {
      if (listed.has(stream) || !isAt(booked, instance)) continue;
      const before = holderOf(booked);
      const now = put(stream, without(booked, instance));
      if (now !== null && now !== before) moved.push({ stream, instance: now });
    }
    return moved;
  };

  return {
    routed: (stream, session, instance, match, atMs) => {
      const old = streams.get(stream) ?? fresh(session, atMs);
      const isOpenThere = old.open.includes(instance);
      const placed = isOpenThere ? old.placed : [...without(old, instance).placed, instance];
      put(stream, { ...old, session, atMs, placed, matches: [...old.matches, match] });
    },
    opened: (stream, instance, nowMs) => {
      const old = streams.get(stream) ?? fresh(null, nowMs);
      if (old.open.includes(instance)) return holderOf(old) ?? instance;
      const left = without(old, instance);
      return put(stream, { ...left, open: [...left.open, instance] }) ?? instance;
    },
    resumed: (stream, match) => {
      const old = streams.get(stream);
      if (old !== undefined) streams.set(stream, { ...old, matches: [...old.matches.slice(-legPairsKept), match] });
    },
    ended: (stream, instance, reason) => {
      const old = streams.get(stream);
      if (old === undefined) return { kind: 'over' };
      if (!isAt(old, instance)) return { kind: 'foreign' };
      const wasOpen = old.open.includes(instance);
      const left = without(old, instance);
      // Only 'stopped' is told of what was taken back in time; anything else of the last that was open is its own end.
      const isOver = wasOpen && (madeByEnds.has(reason) || (left.open.length === 0 && reason !== 'stopped'));
      const by = isOver ? null : put(stream, left);
      if (by !== null) return { kind: 'held', by };
      remove(stream);
      return { kind: 'over' };
    },
    holder: (stream) => {
      const booked = streams.get(stream);
      return booked === undefined ? null : holderOf(booked);
    },
    attempts: (stream) => {
      const booked = streams.get(stream);
      return booked === undefined ? [] : [...booked.open, ...booked.placed];
    },
    sessionOf: (stream) => streams.get(stream)?.session ?? null,
    rejoined: (instance, running, nowMs) => {
      const moved = leave(instance, new Set(running));
      for (const stream of running) {
        const old = streams.get(stream) ?? fresh(null, nowMs);
        // Whether it is open there is said in words of its own, which may be lost: it counts as such, unless it is open elsewhere.
        const left = without(old, instance);
        if (old.open.includes(instance)) continue;
        if (left.open.length > 0) put(stream, { ...left, placed: [...left.placed, instance] });
        else put(stream, { ...left, open: [instance] });
      }
      return moved;
    },
    lost: (instance) => leave(instance, new Set()),
    matchesOf: (instance) => heldBy(instance).flatMap(([, booked]) => booked.matches),
    matchesOfStream: (stream) => streams.get(stream)?.matches ?? [],
    takeUnopened: (beforeMs) => {
      const late = [...streams]
        .filter(([, booked]) => booked.open.length === 0 && booked.atMs < beforeMs)
        .map(([stream]) => stream);
      for (const stream of late) remove(stream);
      return late;
    },
  };
}
