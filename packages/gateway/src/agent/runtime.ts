import type { ErrorDetail } from '@sallyport/protocol';

/** Time and chance; tests pass their own. */
export interface Runtime {
  /** Wall time, Unix milliseconds. */
  nowMs(): number;
  /** Never goes back; stops while the machine is suspended. */
  monotonicMs(): number;
  /** [0, 1), for jitter only. */
  random(): number;
  /** Runs `fn` after `ms`; the answer cancels it. Neither throws. Keeps the process alive. */
  schedule(ms: number, fn: () => void): () => void;
}

/** Log lines: constant messages, typed fields, never a secret. */
export interface Log {
  debug(message: string, fields?: ErrorDetail): void;
  info(message: string, fields?: ErrorDetail): void;
  warn(message: string, fields?: ErrorDetail): void;
  error(message: string, fields?: ErrorDetail): void;
}
