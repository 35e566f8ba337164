import { type InstanceId, PamError } from '@sallyport/protocol';

/**
 * Where an instance without a link is, for those who want to resume a stream on it.
 *
 * - It closed its link: lost, unless it is back within RJ; within RG when most links closed at once (then it is us).
 * - We cut a silent one, or it was never here since this process began (RG): it may come back; the pool says when it is
 *   lost for good, and its streams end then.
 *
 * @see architecture section 5, "Resume" (INSTANCE_LOST, NOT_HERE)
 */
export interface Whereabouts {
  joined(instance: InstanceId): void;
  /** @param linksLeft - links of other instances that still stand. */
  left(instance: InstanceId, how: 'closed' | 'cut' | 'bye', linksLeft: number): void;
  /** @throws PAM_STREAM_NOT_HERE with `detail.retryAfterMs`, PAM_STREAM_GONE. */
  explain(instance: InstanceId): never;
}

/** Instances without a link that are remembered; the one that left first is forgotten first, and then counts as lost. */
const remembered = 10_000;
const askAgainMs = 250;
/** Links that closed within this time closed at once. */
const atOnceMs = 1_000;

export function createWhereabouts(times: {
  readonly monotonicMs: () => number;
  readonly reserveMs: number;
  readonly graceMs: number;
}): Whereabouts {
  const { monotonicMs, reserveMs, graceMs } = times;
  const startedAtMs = monotonicMs();
  /** Until when it is waited for. */
  const away = new Map<InstanceId, number>();
  let closings: number[] = [];

  function waitMs(how: 'closed' | 'cut' | 'bye', linksLeft: number): number {
    if (how === 'bye') return 0;
    if (how === 'cut') return Number.POSITIVE_INFINITY;
    const now = monotonicMs();
    closings = [...closings.filter((atMs) => now - atMs < atOnceMs), now];
    return closings.length > 1 && closings.length > linksLeft ? graceMs : reserveMs;
  }

  return {
    joined: (instance) => {
      away.delete(instance);
    },
    left: (instance, how, linksLeft) => {
      if (away.has(instance)) return; // it said bye, then closed
      away.set(instance, monotonicMs() + waitMs(how, linksLeft));
      const [oldest] = away.size > remembered ? away.keys() : [];
      if (oldest !== undefined) away.delete(oldest);
    },
    explain: (instance) => {
      const untilMs = away.get(instance) ?? startedAtMs + graceMs;
      if (monotonicMs() >= untilMs) {
        throw new PamError('PAM_STREAM_GONE', 'the instance that held this stream is gone', { detail: { instance } });
      }
      throw new PamError('PAM_STREAM_NOT_HERE', 'the instance that holds this stream has no link to this router now', {
        detail: { instance, retryAfterMs: askAgainMs },
      });
    },
  };
}
