import type { AfterCounts, FollowUp, LinkResult, Peer } from '@sallyport/protocol';
import type { Clocks } from '@sallyport/rotation';
import type { JsonValue, LogState, SigningKey } from '@sallyport/seal';
import type { EventChain, Log, Runtime, WorkloadContext } from '../../agent/index.ts';
import type { CandidateJournal } from '../journal/index.ts';
import type { LeaseRunner } from '../lease-runner.ts';
import type { Endpoint } from '../endpoint.ts';
import type { OpenedJob } from '../open-job.ts';
import type { TargetIo } from '../target-io.ts';
import type { createVersions } from '../versions.ts';
import type { KeptSessions } from './kept-sessions.ts';

export interface RunJobDeps {
  readonly app: Parameters<typeof createVersions>[1]['app'];
  readonly poolKey: SigningKey;
  readonly runtime: Runtime;
  readonly clocks: () => Clocks;
  readonly log: Log;
  readonly lease: LeaseRunner;
  readonly events: EventChain;
  readonly trust: () => LogState;
  readonly keys: Pick<WorkloadContext, 'factsKey' | 'secretsKey'>;
  readonly kept: KeptSessions;
  readonly journal: Pick<CandidateJournal, 'keep' | 'sent'>;
  /** The router, whatever link there is now. @throws PAM_LEG_FAILED without one. */
  readonly call: Peer<'instance'>['call'];
  readonly ioOf: (endpoint: Endpoint) => TargetIo;
  /** Scripts and services after the secret was recorded; what is to be told of them. */
  readonly after: (job: OpenedJob, run: AfterRun) => Promise<AfterResult>;
  readonly isDraining: () => boolean;
  readonly step: (name: string, ms: number) => void;
}

/** What comes after a rotation is given, and may do. */
export interface AfterRun {
  readonly oldSecrets: OpenedJob['secrets'];
  readonly newSecrets: OpenedJob['secrets'];
  /** Grows with each holder of the account: by it a machine knows who comes late. */
  readonly epoch: number;
  readonly signal: AbortSignal;
  readonly followUps: FollowUps;
  /** Is the job still this process's? Asked before anything is begun. */
  mayAct(): Promise<boolean>;
  ioOf(endpoint: Endpoint): TargetIo;
  /** Keeps the key that a server showed first. */
  keepFirstSeen(endpoint: Endpoint, io: TargetIo): Promise<void>;
}

/** What this job, under any holder, already began of what follows; kept by the store. */
export interface FollowUps {
  /** Every one that was begun before this holder came, or counts as done. */
  readonly before: ReadonlyMap<string, FollowUp['state']>;
  /** Kept before it begins; false: it must not, the job is another's or cannot be kept. `isOnce`: never begun twice. */
  begin(name: string, isOnce: boolean): Promise<boolean>;
  /** Kept if the store can be asked now; it holds up nothing. */
  end(name: string, isOnce: boolean, state: 'done' | 'failed' | 'unknown'): Promise<void>;
}

/** How it went: in words for people, which are sealed, and in numbers for the router. */
interface AfterResult {
  readonly counts: AfterCounts | null;
  readonly told: JsonValue;
}

/** What the store answered to the claim. */
export type Claimed = LinkResult<'job.claim'>;

/** A job that runs here, as its parts see it. */
export interface HeldJob {
  readonly opened: OpenedJob;
  readonly claimed: Claimed;
  /** Number of the work lease it was claimed under. */
  readonly lease: number;
  /** Ends everything under way. */
  readonly signal: AbortSignal;
}

/** The router answers a call within this, ms, or the call counts as lost. */
export const callWithinMs = 10_000;
