import { PamError } from '@sallyport/protocol';

/** Most requests remembered at once: 60 s at 1,000 a second, with room. More is refused, nothing is forgotten early. */
const maxRemembered = 100_000;

/** Remembers which signed requests were used, until none of them could be accepted again. */
export interface ReplayMemory {
  /**
   * Takes a request once.
   *
   * @param untilSeconds - when it can no longer be accepted (exp + tolerance).
   * @throws PAM_REQUEST_INVALID (why `replayed`); PAM_RATE_LIMITED when too many are remembered.
   */
  take(jti: string, untilSeconds: number, nowSeconds: number): void;
}

export function createReplayMemory(limit = maxRemembered): ReplayMemory {
  const seen = new Map<string, number>();
  const forgetOld = (nowSeconds: number): void => {
    for (const [jti, untilSeconds] of seen) if (untilSeconds < nowSeconds) seen.delete(jti);
  };
  return {
    take: (jti, untilSeconds, nowSeconds) => {
      if (seen.has(jti))
        throw new PamError('PAM_REQUEST_INVALID', 'this signed request was used here before', {
          detail: { why: 'replayed' },
        });
      if (seen.size >= limit) forgetOld(nowSeconds);
      if (seen.size >= limit) throw new PamError('PAM_RATE_LIMITED', 'too many signed requests in a minute');
      seen.set(jti, untilSeconds);
    },
  };
}
