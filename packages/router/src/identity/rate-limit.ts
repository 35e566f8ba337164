import { PamError } from '@sallyport/protocol';

/** Token buckets, one per key (a name, an address); `burst` at once, then one per `everyMs`. */
export interface RateLimit {
  /** Takes one token. @throws PAM_RATE_LIMITED with `detail.retryAfterMs`. */
  take(key: string): void;
}

interface Bucket {
  readonly tokens: number;
  readonly atMs: number;
}

/**
 * @param what - for the message: 'sign-ins for this name'.
 * @param rate - `hit` is told `what` at each refusal.
 * @param monotonicMs - clock of the buckets.
 * @param capacity - keys remembered; the one untouched longest goes first, which a flood of keys can only use to
 *   get what a fresh key gets anyway.
 */
export function createRateLimit(
  what: string,
  rate: { readonly burst: number; readonly everyMs: number; readonly hit?: (what: string) => void },
  monotonicMs: () => number,
  capacity = 10_000,
): RateLimit {
  const buckets = new Map<string, Bucket>();
  return {
    take: (key) => {
      const now = monotonicMs();
      const old = buckets.get(key);
      const tokens =
        old === undefined ? rate.burst : Math.min(rate.burst, old.tokens + (now - old.atMs) / rate.everyMs);
      buckets.delete(key);
      if (tokens < 1) {
        buckets.set(key, { tokens, atMs: now });
        rate.hit?.(what);
        const retryAfterMs = Math.ceil((1 - tokens) * rate.everyMs);
        throw new PamError('PAM_RATE_LIMITED', `too many ${what}; try again in ${Math.ceil(retryAfterMs / 1_000)} s`, {
          detail: { retryAfterMs },
        });
      }
      buckets.set(key, { tokens: tokens - 1, atMs: now });
      if (buckets.size > capacity) {
        for (const oldest of buckets.keys()) {
          buckets.delete(oldest);
          break;
        }
      }
    },
  };
}
