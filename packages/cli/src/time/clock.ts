/** Time as the program sees it. Only `system-clock.ts` reads the machine's. */
export interface Clock {
  /** Wall time, Unix milliseconds. */
  nowMs(): number;
  /** Grows steadily, milliseconds; only differences mean something. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with `signal.reason` if aborted first, and leaves no timer behind. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `run` once after `ms`; the returned function cancels it. Does not keep the process alive when `idle`. */
  after(ms: number, run: () => void, options?: { readonly idle?: boolean }): () => void;
}

/** Unix seconds, as the signed formats carry them. */
export function nowSeconds(clock: Clock): number {
  return Math.floor(clock.nowMs() / 1_000);
}
