import { type InstanceId, PamError } from '@sallyport/protocol';

/**
 * Where an instance without a link is, for those who want to resume a stream on it.
 *
 * - It closed its link: lost, unless it is back within RG. RJ is enough for the place in the pool, which is given back; a
 *   stream is not, and an instance that gave up a silent link closes it, too, and redials (`npm run chaos`, seed 7).
 * - We cut a silent one, or it was never here since this process began (RG): it may come back; the pool says when it is
 *   lost for good, and its streams end then.
 *
 * @see architecture section 5, "Resume" (INSTANCE_LOST, NOT_HERE)
 */
export interface Whereabouts {
  joined(instance: InstanceId): void;
  left(instance: InstanceId, how: 'closed' | 'cut' | 'bye'): void;
  /** @throws PAM_STREAM_NOT_HERE with `detail.retryAfterMs`, PAM_STREAM_GONE. */
  explain(instance: InstanceId): never;
}

/** Instances without a link that are remembered; the one that left first is forgotten first, and then counts as lost. */
const remembered = 10_000;
const askAgainMs = 250;

export function createWhereabouts(times: {
  readonly monotonicMs: () => number;
  readonly graceMs: number;
}): Whereabouts {
  const { monotonicMs, graceMs } = times;
  const startedAtMs = monotonicMs();
  /** Until when it is waited for. */
  const away = new Map<InstanceId, number>();

  const waitMs = { closed: graceMs, cut: Number.POSITIVE_INFINITY, bye: 0 } as const;

  return {
    joined: (instance) => {
      away.delete(instance);
    },
    left: (instance, how) => {
      if (away.has(instance)) return; // it said bye, then closed
      away.set(instance, monotonicMs() + waitMs[how]);
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
