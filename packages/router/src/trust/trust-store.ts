import type { Head } from '@sallyport/protocol';

/** One stored entry of the trust log: `hash` = hash of the compact JWS, computed by who verified it. */
export interface LogRow {
  readonly n: number;
  readonly hash: string;
  readonly entry: string;
}

/** The trust log, append only. The store checks continuity of numbers and hashes; signatures are the caller's. */
export interface TrustStore {
  /**
   * Appends entries right after `expected` (`null` = the log is empty). PAM_TRUST_LOG_MOVED when the head is another
   * one; PAM_BAD_REQUEST when the numbers do not follow.
   */
  appendEntries(input: {
    readonly expected: Head | null;
    readonly entries: readonly LogRow[];
    readonly nowMs: number;
  }): Promise<Head>;
  headOfLog(input: Record<never, never>): Promise<Head | null>;
  /** From entry `from` on, at most `limit` (1–500). */
  listEntries(input: { readonly from: number; readonly limit: number }): Promise<readonly LogRow[]>;
}
