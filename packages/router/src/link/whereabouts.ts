import { type InstanceId, PamError } from '@sallyport/protocol';
import type { Clock } from '../clock.ts';
import type { LinkEnd } from './link.ts';

/**
 * Where an instance without a link is, for those who want to resume a stream on it.
 *
 * - Its process died: lost, unless it is back within RJ; within RG when most died at once (then it is a balancer, or us).
 *   A kernel ends the connections of a dead process with a FIN; who lives and gives a link up says so first.
 * - Its link broke, or it gave a silent one up: lost, unless it is back within RG. RJ is enough for the place in the pool,
 *   which is given back; a stream is not (`npm run chaos`, seed 7).
 * - We cut a silent one, or it was never here since this process began (RG): it may come back; the pool says when it is
 *   lost for good, and its streams end then.
 *
 * @see architecture section 5, "Resume" (INSTANCE_LOST, NOT_HERE)
 */
export interface Whereabouts {
  joined(instance: InstanceId): void;
  /** @param linksLeft - links of other instances that still stand. */
  left(instance: InstanceId, how: LinkEnd | 'bye', linksLeft: number): void;
  /** The pool gave it up: nobody waits for it any longer, unless it joins anew. */
  lost(instance: InstanceId): void;
  /** @throws PAM_STREAM_NOT_HERE with `detail.retryAfterMs`, PAM_STREAM_GONE. */
  explain(instance: InstanceId): never;
  /**
   * Waits for one that was not here yet since this process began, a second at most: after a start the streams of a device
   * are here before the instances are, and would each ask again and again.
   *
   * @throws as `explain`.
   */
  arrival(instance: InstanceId): Promise<void>;
}

/** Instances without a link that are remembered; the one that left first is forgotten first, and then counts as lost. */
const remembered = 10_000;
const askAgainMs = 250;
/** A redial and a hello; shorter than any client waits for an answer. */
const arrivalMs = 1_000;
/** Who asks beyond so many is answered at once. */
const waitingAtMost = 10_000;
/** Processes that died within this time died at once. */
const atOnceMs = 1_000;

export function createWhereabouts(times: {
  readonly monotonicMs: () => number;
  readonly after: Clock['after'];
  readonly reserveMs: number;
  /** Grows with the members. */
  readonly graceMs: () => number;
}): Whereabouts {
  const { monotonicMs, after, reserveMs, graceMs } = times;
  const startedAtMs = monotonicMs();
  /** Until when it is waited for. */
  const away = new Map<InstanceId, number>();
  const waiting = new Map<InstanceId, Set<() => void>>();
  let waits = 0;

  function waitUntil(instance: InstanceId, untilMs: number): void {
    away.set(instance, untilMs);
    const [oldest] = away.size > remembered ? away.keys() : [];
    if (oldest !== undefined) away.delete(oldest);
  }

  const deaths: { readonly instance: InstanceId; readonly atMs: number }[] = [];
  /** Of `deaths`, counted from the oldest: those that were given the longer wait. */
  let excused = 0;

  const waitMs = (how: LinkEnd | 'bye'): number =>
    ({ died: reserveMs, broken: graceMs(), cut: Number.POSITIVE_INFINITY, bye: 0 })[how];

  /** Most links gone in one second: who of them is still away is waited for as after a start. */
  function noteDeath(instance: InstanceId, atMs: number, linksLeft: number): void {
    deaths.push({ instance, atMs });
    while (atMs - (deaths[0]?.atMs ?? atMs) >= atOnceMs) {
      deaths.shift();
      excused = Math.max(0, excused - 1);
    }
    if (deaths.length < 2 || deaths.length <= linksLeft) return;
    // Each once: of ten thousand that go together, each but the first would walk all before it.
    for (; excused < deaths.length; excused += 1) {
      const death = deaths[excused];
      if (death !== undefined && away.has(death.instance)) away.set(death.instance, death.atMs + graceMs());
    }
  }

  function explain(instance: InstanceId): never {
    const untilMs = away.get(instance) ?? startedAtMs + graceMs();
    if (monotonicMs() >= untilMs) {
      throw new PamError('PAM_STREAM_GONE', 'the instance that held this stream is gone', { detail: { instance } });
    }
    throw new PamError('PAM_STREAM_NOT_HERE', 'the instance that holds this stream has no link to this router now', {
      detail: { instance, retryAfterMs: askAgainMs },
    });
  }

  /** Resolves when it joined: true; after a second: false. */
  function joins(instance: InstanceId): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const own = waiting.get(instance) ?? new Set();
    waiting.set(instance, own);
    waits += 1;
    const settle = (isHere: boolean): void => {
      cancel();
      if (!own.delete(onJoined)) return;
      waits -= 1;
      if (own.size === 0) waiting.delete(instance);
      resolve(isHere);
    };
    const onJoined = (): void => settle(true);
    const cancel = after(arrivalMs, () => settle(false));
    own.add(onJoined);
    return promise;
  }

  return {
    explain,
    arrival: async (instance) => {
      const mayCome = !away.has(instance) && monotonicMs() < startedAtMs + graceMs() && waits < waitingAtMost;
      if (!mayCome || !(await joins(instance))) explain(instance);
    },
    joined: (instance) => {
      away.delete(instance);
      for (const onJoined of [...(waiting.get(instance) ?? [])]) onJoined();
    },
    left: (instance, how, linksLeft) => {
      if (away.has(instance)) return; // it said bye, then closed
      const nowMs = monotonicMs();
      waitUntil(instance, nowMs + waitMs(how));
      if (how === 'died') noteDeath(instance, nowMs, linksLeft);
    },
    lost: (instance) => waitUntil(instance, monotonicMs()),
  };
}
