import { type ErrorCode, errorCatalog } from '@sallyport/protocol';

/** One failed call, as far as a retry depends on it. */
export interface FailedCall {
  /** GET: repeating it changes nothing. */
  readonly safe: boolean;
  /** Calls made so far, at least 1. */
  readonly attempts: number;
  readonly code: ErrorCode;
  /** False when the failure is known to have come before a byte was sent. */
  readonly sent: boolean;
  /** What the router asked for, or null. */
  readonly retryAfterMs: number | null;
}

export type NextTry = { readonly kind: 'stop' } | { readonly kind: 'again'; readonly afterMs: number };

export const callLimits = { attempts: 3, firstWaitMs: 150, longestWaitMs: 2_000 } as const;

/**
 * Whether a failed call to the router is made again. Only what the catalogue calls `backoff` is; and only when nothing
 * was sent or the call is safe, so that no change can happen twice.
 *
 * What the router asked for is waited for in full, and a little more; our own waits have full jitter, so that a router
 * that comes back is not met by everybody at once.
 *
 * @param jitter - 0 to 1.
 */
export function nextTry(failed: FailedCall, jitter: number): NextTry {
  if (failed.attempts >= callLimits.attempts || errorCatalog[failed.code].retry !== 'backoff') return { kind: 'stop' };
  if (failed.sent && !failed.safe) return { kind: 'stop' };
  if (failed.retryAfterMs !== null && failed.retryAfterMs > callLimits.longestWaitMs) return { kind: 'stop' };
  if (failed.retryAfterMs !== null) {
    return { kind: 'again', afterMs: failed.retryAfterMs + Math.round(callLimits.firstWaitMs * jitter) };
  }
  const ceiling = Math.min(2 * callLimits.firstWaitMs * 4 ** (failed.attempts - 1), callLimits.longestWaitMs);
  return { kind: 'again', afterMs: Math.round(ceiling * jitter) };
}
