/** Time as the router's parts see it. The system's one is `system-clock.ts`; tests pass their own. */
export interface Clock {
  /** Wall time, Unix milliseconds. */
  nowMs(): number;
  /** Milliseconds that never go back; stands still while the machine is suspended. */
  monotonicMs(): number;
  /** Runs `fn` every `ms` until the answer is called. */
  every(ms: number, fn: () => void): () => void;
  /** Runs `fn` once after `ms` unless the answer is called first. */
  after(ms: number, fn: () => void): () => void;
}
