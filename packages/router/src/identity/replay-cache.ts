import { PamError } from '@sallyport/protocol';

/** Remembers proofs that were used, for longer than any of them is accepted. */
export interface ReplayCache {
  /** @throws PAM_PROOF_INVALID when `id` was seen; PAM_RATE_LIMITED when more are alive than can be remembered. */
  use(id: string): void;
}

/**
 * Two sets that take turns: an id is remembered for `windowMs` to twice that.
 *
 * @param capacity - ids per window; over it nothing more is accepted rather than forgotten.
 */
export function createReplayCache(windowMs: number, capacity: number, monotonicMs: () => number): ReplayCache {
  let current = new Set<string>();
  let previous = new Set<string>();
  let turnedAtMs = monotonicMs();
  return {
    use: (id) => {
      const now = monotonicMs();
      if (now - turnedAtMs >= windowMs) {
        previous = now - turnedAtMs >= 2 * windowMs ? new Set() : current;
        current = new Set();
        turnedAtMs = now;
      }
      if (current.has(id) || previous.has(id)) {
        throw new PamError('PAM_PROOF_INVALID', 'this proof of possession was used before', {
          detail: { why: 'replayed' },
        });
      }
      if (current.size >= capacity) throw new PamError('PAM_RATE_LIMITED', 'too many requests at once on this router');
      current.add(id);
    },
  };
}
