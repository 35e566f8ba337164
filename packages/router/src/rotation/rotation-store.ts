import type {
  AccountVersion,
  ApplicationUid,
  GatewayUid,
  InstanceId,
  Item,
  ItemUid,
  JobId,
  JobView,
  JobWhy,
  LinkParams,
  LinkResult,
  PartEnvelope,
  PersonUid,
  RotationTrouble,
  WireError,
} from '@sallyport/protocol';
import type { JobKind } from '@sallyport/rotation';
import type { ChainHead, NewEvent } from '../audit/index.ts';
import type { StoredJob } from './stored-job.ts';

/** The instance that asks, known by its link, and when. */
interface Asked {
  readonly instance: InstanceId;
  readonly nowMs: number;
}
/** Events to be appended in the same transaction, if it does what they tell. */
interface Told {
  readonly router: string;
  readonly start: number;
  readonly events: readonly NewEvent[];
}

/** Refused, but what the refusal changed in the rows is stored: a job that waits for its account, or is poison. */
export interface Refused {
  readonly refused: RefusalCode;
  readonly why: string;
}
type RefusalCode =
  | 'PAM_JOB_BUSY'
  | 'PAM_JOB_ENDED'
  | 'PAM_JOB_FENCED'
  | 'PAM_JOB_POISON'
  | 'PAM_ACCOUNT_SHARED'
  | 'PAM_LEASE_LOST'
  | 'PAM_ROTATION_ATTENTION'
  | 'PAM_CONFLICT'
  | 'PAM_NOT_FOUND';

/** A job that nobody holds and that may begin now. */
export interface OfferedJob {
  readonly job: JobId;
  readonly kind: JobKind;
  readonly record: ItemUid;
  readonly app: ApplicationUid;
  readonly gateway: GatewayUid;
  readonly order: string | null;
  readonly dueAtMs: number | null;
  readonly why: JobWhy;
}

/** A lease under which a job runs now, as a claimant has to see it unchanged for W. */
interface SeenLease {
  readonly instance: InstanceId;
  readonly gateway: GatewayUid;
  readonly lease: number;
  readonly renewals: number;
}

export interface NewJob {
  readonly job: JobId;
  readonly kind: JobKind;
  readonly record: ItemUid;
  readonly app: ApplicationUid;
  readonly gateway: GatewayUid;
  readonly order: string;
  readonly person: PersonUid;
  /** What the last run did well for this revision of the secrets counts as done here; null: nothing does. */
  readonly carryFrom: number | null;
  readonly nowMs: number;
}

/** In the order of what was asked. */
export type StartedJob = { readonly job: StoredJob } | { readonly error: WireError };

/** What a router's timer did with a schedule whose time came. */
export interface CameDue {
  readonly record: ItemUid;
  readonly dueAtMs: number;
  /** Null: it could not be run, and stands as missed. */
  readonly job: JobId | null;
  /** Earlier occurrences that nobody ran, because no router was there. */
  readonly skipped: number;
}

/** What the store knows of a record's rotation. */
interface RotationState {
  readonly account: {
    readonly epoch: number;
    readonly send: number;
    readonly current: number | null;
    readonly job: JobId | null;
    readonly attention: JobWhy | null;
    /** What an earlier rotation could not remove; null: nothing. */
    readonly leftover: { readonly tries: number; readonly nextTryMs: number | null } | null;
    /** Logins that may still be refused now, and when there is one more. */
    readonly budget: number;
    readonly budgetAtMs: number | null;
  } | null;
  readonly versions: readonly AccountVersion[];
  readonly nextDueMs: number | null;
  readonly lastJob: StoredJob | null;
  readonly trouble: RotationTrouble | null;
}

/**
 * Leases, jobs and accounts. Each method is one transaction; what it decides, the pure functions of
 * @sallyport/rotation decide over the rows it locked, in the order server → account → job.
 */
export interface RotationStore {
  /**
   * Renews, or gives a new lease to who has none: above `after`, and the same one while it is held and the question is
   * asked again. `lost`: it was given away; jobs under it are free.
   */
  renewLease(input: {
    readonly instance: InstanceId;
    readonly gateway: GatewayUid;
    readonly lease: number | null;
    readonly after: number;
    readonly nowMs: number;
  }): Promise<{ readonly lease: number } | { readonly lost: true }>;
  /** Ends the lease of an instance that does nothing under it any more; `lease` null: whichever it has. */
  releaseLease(input: {
    readonly instance: InstanceId;
    readonly lease: number | null;
    readonly nowMs: number;
  }): Promise<readonly JobId[]>;
  /** Leases under which something runs; a claimant looks at no others. */
  listHeldLeases(input: Record<never, never>): Promise<readonly SeenLease[]>;
  /** Takes a lease away by compare-and-set on both its numbers; its jobs may go on elsewhere. Empty: it moved. */
  giveLeaseAway(input: SeenLease & { readonly nowMs: number }): Promise<readonly JobId[]>;

  /**
   * Stores orders, and the event `told` with the ids of those that were refused. The same id again answers the same job.
   * Refused: PAM_CONFLICT (the id is another job's), PAM_JOB_BUSY (the record has an open job, `detail.job`),
   * PAM_ROTATION_ATTENTION.
   */
  startJobs(input: {
    readonly orders: readonly NewJob[];
    readonly told: Told;
  }): Promise<{ readonly results: readonly StartedJob[]; readonly head: ChainHead }>;
  getJob(input: { readonly job: JobId }): Promise<StoredJob | null>;
  /** With what happened, oldest first, and its notes. */
  readJob(input: { readonly job: JobId }): Promise<{
    readonly job: StoredJob;
    readonly entries: readonly { atMs: number; instance: InstanceId | null; step: JobView['step']; what: string }[];
    readonly notes: readonly { gen: number; envelope: string }[];
  } | null>;
  /** Newest first. */
  listJobs(input: {
    readonly record?: ItemUid;
    readonly state: 'open' | 'ended' | 'attention' | 'all';
    readonly before?: { readonly createdAtMs: number; readonly job: string };
    readonly limit: number;
  }): Promise<{ readonly jobs: readonly StoredJob[]; readonly more: boolean }>;
  /** Open jobs by gateway and state; accounts that need attention, and those that an older credential still opens. */
  countJobs(
    input: Record<never, never>,
  ): Promise<
    readonly { readonly gateway: GatewayUid; readonly state: JobView['state'] | 'leftover'; readonly count: number }[]
  >;
  /** Records whose rotation is in trouble, by gateway (null: of none) and what; `late`: open, and due before this time. */
  countTroubles(input: { readonly dueBeforeMs: number }): Promise<
    readonly {
      readonly gateway: GatewayUid | null;
      readonly what: RotationTrouble;
      readonly count: number;
    }[]
  >;
  /** Of this gateway, or (null) of each, at most `each`, those that may begin longest first. */
  listOffered(input: {
    readonly nowMs: number;
    readonly gateway: GatewayUid | null;
    readonly each: number;
  }): Promise<readonly OfferedJob[]>;
  /** Nobody is there to take it: it waits, and says so. Nothing when it is held or ended. */
  noteNoInstance(input: { readonly jobs: readonly JobId[] }): Promise<void>;
  /** What an offer carries: the record first, its resources, then their configurations and credentials; empty: gone. */
  readOfferItems(input: { readonly record: ItemUid }): Promise<readonly Item[]>;
  /** Every instance would refuse it: it failed, unless somebody claimed it. */
  denyJob(input: {
    readonly job: JobId;
    readonly instance: InstanceId | null;
    readonly why: JobWhy;
    readonly note: Note | null;
    readonly told: Told;
    readonly nowMs: number;
  }): Promise<{ readonly denied: boolean; readonly head: ChainHead | null }>;

  claimJob(
    input: Asked & LinkParams<'job.claim'> & { readonly scheduledAtOnce: number; readonly orderedAtOnce: number },
  ): Promise<Refused | { readonly claimed: LinkResult<'job.claim'>; readonly record: ItemUid }>;
  stageVersion(input: Asked & LinkParams<'job.stage'>): Promise<Refused | LinkResult<'job.stage'>>;
  permitSend(input: Asked & LinkParams<'job.permit'>): Promise<Refused | LinkResult<'job.permit'>>;
  takeLogin(input: Asked & LinkParams<'job.login'>): Promise<LinkResult<'job.login'>>;
  reportStep(input: Asked & LinkParams<'job.report'>): Promise<Refused | Record<never, never>>;
  /** `promoted` and `edited`: what is told in either case. */
  promoteVersion(
    input: Asked &
      Omit<LinkParams<'job.promote'>, 'signed'> & { readonly promoted: Told | null; readonly edited: Told | null },
  ): Promise<
    | Refused
    | {
        readonly answer: LinkResult<'job.promote'>;
        readonly head: ChainHead | null;
        readonly record: ItemUid;
        readonly app: ApplicationUid;
        readonly createdAtMs: number;
        /** It was promoted before: this is the answer of then. */
        readonly again: boolean;
      }
  >;
  waitJob(input: Asked & LinkParams<'job.wait'>): Promise<Refused | Record<never, never>>;
  finishJob(
    input: Asked & Omit<LinkParams<'job.finish'>, 'signed'> & { readonly told: Told | null },
  ): Promise<Refused | { readonly head: ChainHead | null; readonly job: StoredJob }>;
  /** The account needs attention: a write went out later than its permit allowed. */
  noteLate(input: Asked & LinkParams<'job.late'>): Promise<void>;

  /**
   * What of an instance's journal the store lacks. An account of which it knows lower numbers than the instance, or
   * nothing at all, was rotated after the backup that the store comes from: it needs attention, and its numbers rise (R5).
   */
  compareJournal(
    input: Asked & { readonly app: string; readonly entries: LinkParams<'journal.compare'>['entries'] },
  ): Promise<{ readonly wanted: readonly string[]; readonly distrusted: readonly ItemUid[] }>;
  /** Takes one back, once. Null: it is there already, or is not wanted. */
  recoverVersion(
    input: Asked & { readonly app: string } & LinkParams<'journal.recover'>,
  ): Promise<Refused | { readonly version: number | null }>;

  /** @throws PAM_NOT_FOUND, PAM_JOB_ENDED. */
  cancelJob(input: { readonly job: JobId; readonly nowMs: number }): Promise<StoredJob>;
  readRotation(input: { readonly record: ItemUid; readonly nowMs: number }): Promise<RotationState>;
  /** @throws PAM_NOT_FOUND, PAM_CONFLICT (no such version, a job is open, or the revision is not the next). */
  resolveRotation(input: {
    readonly record: ItemUid;
    readonly version: number | null;
    readonly secrets: PartEnvelope | null;
    readonly author: string;
    readonly nowMs: number;
  }): Promise<Item>;

  /** Schedules whose time came, re-checks and retirements, longest due first. */
  listDue(input: { readonly nowMs: number; readonly limit: number }): Promise<{
    readonly schedules: readonly { readonly record: ItemUid; readonly dueAtMs: number }[];
    readonly rechecks: readonly string[];
  }>;
  /** Moves a schedule on and makes its job, in one transaction; null when another router did. */
  runSchedule(input: {
    readonly record: ItemUid;
    readonly dueAtMs: number;
    readonly job: JobId;
    /** On top of its jitter: after an outage. */
    readonly spreadMs: number;
    readonly nowMs: number;
  }): Promise<CameDue | null>;
  /**
   * Makes the job of a re-check, unless the account was rotated since, or of a retirement, unless it was seen to be done; null
   * when there is nothing to do now.
   */
  runRecheck(input: { readonly id: string; readonly job: JobId; readonly nowMs: number }): Promise<JobId | null>;
}

interface Note {
  readonly gen: number;
  readonly envelope: string;
}
