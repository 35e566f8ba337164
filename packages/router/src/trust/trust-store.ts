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
  /**
   * Off line: says in a store that it was put in the place of a newer one. Incarnation and start numbers are above every one that
   * was given, the trust log takes no new entry before somebody reopens it, and what the replaced log had more is kept for the next
   * start. Answers the incarnation. A store without an owner has no log to hold.
   */
  markRestored(input: { readonly replaced: ReplacedStore; readonly nowMs: number }): Promise<number>;
  /** Off line: the trust log takes new entries again, by the word of whoever owns the host. Answers whether it did not. */
  reopenStore(input: Record<never, never>): Promise<boolean>;
  /** Off line: what a store that is replaced tells, with its log from entry `after` on. */
  readReplaced(input: { readonly after: number }): Promise<ReplacedStore>;
}

/** What a store that is replaced still tells; zeros and nothing when it cannot be read. */
export interface ReplacedStore {
  readonly incarnation: number;
  /** Number of its router's last start. */
  readonly lastStart: number;
  readonly entries: readonly LogRow[];
}
