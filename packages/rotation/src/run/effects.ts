import type { JobWhy } from '@sallyport/protocol';
import type { Fence } from '../kind/target-kind.ts';
import type { JobKind, JobStep, SendRow } from '../account/rows.ts';

/** What a claim answers: all that a holder needs to go on from any step. */
export interface ClaimView {
  /** What only follows a rotation needs no run. */
  readonly kind: Exclude<JobKind, 'after'>;
  readonly epoch: number;
  readonly step: JobStep;
  readonly base: number;
  /** Version of the vault's record. */
  readonly current: number;
  readonly candidate: number | null;
  readonly rejections: number;
  readonly sends: readonly SendRow[];
  readonly address: string | null;
  /** Every version of the account, newest first. */
  readonly versions: readonly { readonly n: number; readonly state: string }[];
}

/** What the run needs to know beside the claim. */
export interface RunSettings {
  /** With which credential the change is made. */
  readonly by: 'admin' | 'own';
  readonly fence: Fence;
  /** A + Q: after this no write of an earlier permit can still take effect by its own limits, ms. */
  readonly settleMs: number;
  readonly replicas: number;
  /** First wait after an answer that is none; doubled each time up to `waitMaxMs`. */
  readonly waitFirstMs: number;
  readonly waitMaxMs: number;
  /** Waits in a row before the job asks for attention. */
  readonly waitsAtMost: number;
}

export type LoginAnswer = 'opens' | 'refused' | 'locked' | 'expired' | 'unreachable' | 'unknown';

/**
 * The one thing the executor does next; its answer is the next event. Each is safe to do twice: store calls are
 * idempotent by (job, epoch, key), writes are fenced, probes are bought from the budget.
 */
export type RunEffect =
  /** Generate, seal and store a candidate; acknowledged by the store before anything else. */
  | { readonly do: 'stage' }
  /** Dial and log in: as the administrator, or as the account with version `version` (bought from the budget). */
  | { readonly do: 'connect'; readonly as: 'admin' | 'own'; readonly version: number | null }
  /** End other sessions under our label and see them gone (fence `evict`). */
  | { readonly do: 'evict' }
  /**
   * Ask for the right to write once, with a key of its own each time: an answer is never asked for twice, since the second
   * could be given to somebody who lost the job in between. The executor has logged in and read the target's mark.
   */
  | { readonly do: 'permit' }
  /** Write `version` on the very connection, at most Q after asking for the permit, in the turn that checks it. */
  /** `old`: the version that opens the account as far as known; fences of kind `compare` name it. */
  | { readonly do: 'write'; readonly send: number; readonly version: number; readonly old: number }
  /** Tell the store how the write ended. */
  | { readonly do: 'report'; readonly send: number; readonly outcome: NonNullable<SendRow['outcome']> }
  /** A fresh login with `version` at the noted server, bought from the budget first. */
  | { readonly do: 'probe'; readonly version: number }
  | { readonly do: 'verified'; readonly version: number; readonly send: number | null }
  | { readonly do: 'converge' }
  /** `agreed` false: some replica still did not show the change when the run stopped asking. */
  | { readonly do: 'converged'; readonly agreed: boolean }
  | { readonly do: 'promote'; readonly version: number }
  /** Remove what earlier rotations left beside the new credential (fence `additive`). */
  | { readonly do: 'retire'; readonly version: number }
  /** Tell the store that nothing older than `version` opens any more. */
  | { readonly do: 'retired'; readonly version: number }
  /** Scripts and services; their failure is reported and undoes nothing. */
  | { readonly do: 'after' }
  /** Permission, policy and reachability, without a change (`rehearse`). */
  | { readonly do: 'rehearse' }
  /** Stay on this instance and go on after `ms`, or at `untilMs` (wall). An instance that drains gives the job back. */
  | { readonly do: 'pause'; readonly ms: number; readonly untilMs: number | null; readonly why: JobWhy }
  /** Give the job back; whoever is next goes on from the stored step after `ms`, or at `untilMs` (wall). */
  | { readonly do: 'wait'; readonly ms: number; readonly untilMs: number | null; readonly why: JobWhy }
  | { readonly do: 'finish'; readonly outcome: 'done' | 'failed' | 'attention' | 'cancelled'; readonly why: JobWhy }
  /** Nothing more: this process is not the holder any longer. Connections are closed without a word. */
  | { readonly do: 'abandon'; readonly why: string };

export type RunEvent =
  | { readonly type: 'begin' }
  | { readonly type: 'staged'; readonly version: number }
  | { readonly type: 'connected'; readonly mark: number }
  | { readonly type: 'not-connected'; readonly answer: Exclude<LoginAnswer, 'opens'> }
  | { readonly type: 'evicted'; readonly all: boolean }
  | { readonly type: 'permitted'; readonly send: number }
  | { readonly type: 'wrote'; readonly outcome: NonNullable<SendRow['outcome']> }
  /** The permit was older than Q, or the connection was lost before the write: nothing went out. */
  | { readonly type: 'not-sent' }
  | { readonly type: 'reported' }
  | { readonly type: 'probed'; readonly answer: LoginAnswer }
  | { readonly type: 'budget-empty'; readonly untilMs: number }
  | { readonly type: 'recorded' }
  | { readonly type: 'agreed'; readonly all: boolean }
  | { readonly type: 'promoted' }
  /** The record was edited since the job began. */
  | { readonly type: 'edited' }
  | { readonly type: 'retired' }
  | { readonly type: 'after-done' }
  | { readonly type: 'rehearsed'; readonly holds: boolean }
  | { readonly type: 'resumed' }
  | { readonly type: 'cancel' }
  /** The store cannot be asked now; the lease may still be ours. */
  | { readonly type: 'store-away' }
  /** Our epoch or lease is over. */
  | { readonly type: 'fenced' }
  | { readonly type: 'impossible'; readonly why: JobWhy };
