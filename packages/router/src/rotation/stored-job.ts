import type {
  AfterCounts,
  ApplicationUid,
  FollowUp,
  GatewayUid,
  InstanceId,
  JobWhy,
  PersonUid,
} from '@sallyport/protocol';
import type { JobRow } from '@sallyport/rotation';

/** A job as the store has it: what decisions read, and what lists show beside. */
export interface StoredJob extends JobRow {
  readonly why: JobWhy;
  readonly followUps: readonly FollowUp[];
  readonly app: ApplicationUid;
  readonly gateway: GatewayUid;
  /** Keyed hash of the account's server; null before its first claim. */
  readonly server: string | null;
  /** Signed by a device; null: an occurrence of a schedule, or a re-check. */
  readonly order: string | null;
  readonly person: PersonUid | null;
  /** Occurrence of the schedule that it is. */
  readonly dueAtMs: number | null;
  /** Who ran it, first to last: the last `instancesKept` of them. */
  readonly instances: readonly InstanceId[];
  /** How what followed it went; null: nothing did. */
  readonly after: AfterCounts | null;
  readonly createdAtMs: number;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
}

/** Instances kept of one job: the last ones. */
export const instancesKept = 64;
/** Entries kept of one job: the first ones, and the last in place of what is over it. */
export const entriesKept = 200;
/** Sealed notes kept of one job: the first ones. */
export const notesKept = 64;
