import type { InstanceId, ItemUid, JobId } from '@sallyport/protocol';

/**
 * What a job does: change, look whether the vault's secret opens, check everything without any change, remove what earlier
 * rotations left beside the vault's secret, or run again what follows a change.
 */
export type JobKind = 'rotate' | 'check' | 'rehearse' | 'retire' | 'after';
export type JobState = 'queued' | 'running' | 'waiting' | 'done' | 'failed' | 'cancelled' | 'attention';

/** How far a rotation got; stored before anything that follows it. `promoted` is the commit point of the vault. */
export const jobSteps = ['new', 'intent', 'permitted', 'applied', 'verified', 'converged', 'promoted', 'done'] as const;
export type JobStep = (typeof jobSteps)[number];

/** A script or service that was begun, by a name that tells the store nothing. */
export interface FollowUpRow {
  readonly name: string;
  readonly state: 'begun' | 'done' | 'failed' | 'unknown';
}

/** One write to the target: permitted under this number, for this version. `null` until its holder told how it ended. */
export interface SendRow {
  readonly send: number;
  readonly version: number;
  readonly outcome: 'applied' | 'policy' | 'denied' | 'fenced' | 'unknown' | null;
}

/**
 * One row per account: a login name on a server, whatever records point to it.
 *
 * R5 `epoch` and `send` never decrease, in a restored store either (an epoch's high half is the store's incarnation).
 */
export interface AccountRow {
  /** 43 characters: keyed hash over server identity and login, made by the instance; the store learns neither. */
  readonly account: string;
  /** The record whose secret this account's is. Another record's rotation of the same account is refused. */
  readonly record: ItemUid;
  readonly epoch: number;
  readonly send: number;
  /** Version that the vault's record holds; null before the first claim. */
  readonly current: number | null;
  /** The one open job, or null. */
  readonly job: JobId | null;
  /** Number of the next version. */
  readonly nextVersion: number;
  /**
   * First write since the last retirement that put a secret beside those there (fence `additive`): what was there before
   * it may still open. Null: nothing but the current one does, as far as is known.
   */
  readonly leftover: number | null;
}

/** Every secret the account may ever have had, sealed. R8: no row is ever removed by rotation. */
export interface VersionRow {
  readonly account: string;
  readonly n: number;
  /** Job that made it; null: taken over from the record. */
  readonly job: JobId | null;
  /** Revision of the record's secrets that it is, or would become. */
  readonly rev: number;
  /**
   * `adopted` from the record, `candidate`, `promoted`, `refused` by the target's policy (still kept and probed), or
   * `recovered` from the journal of an instance after the store was restored.
   */
  readonly state: 'adopted' | 'candidate' | 'promoted' | 'refused' | 'recovered';
  readonly atMs: number;
}

export interface JobRow {
  readonly id: JobId;
  readonly kind: JobKind;
  readonly record: ItemUid;
  readonly account: string | null;
  readonly state: JobState;
  readonly step: JobStep;
  /** Who runs it, and under which work lease. */
  readonly holder: { readonly instance: InstanceId; readonly lease: number } | null;
  /** Epoch of the account that the holder was given at its claim. */
  readonly epoch: number | null;
  /** Claims since the job last made progress; the fourth is not given (I15). */
  readonly attempts: number;
  /** Revision of the record's secrets that the job began with; promotion writes the next. */
  readonly base: number | null;
  /** The version being set; null before one is staged and after a policy refusal. */
  readonly candidate: number | null;
  /** Candidates that the target's policy refused. */
  readonly rejections: number;
  readonly sends: readonly SendRow[];
  /** Address of the server that was written to: takeover probes there. */
  readonly address: string | null;
  readonly notBeforeMs: number;
  readonly cancelAsked: boolean;
  /** Scripts and services that were begun, in that order. */
  readonly followUps: readonly FollowUpRow[];
  /** Why it waits, failed, or needs attention; '' otherwise. For people. */
  readonly why: string;
}

/** Logins with a credential that may be wrong. A `taken` one that was never returned counts as refused (R6). */
export interface LoginRow {
  readonly account: string;
  readonly id: string;
  readonly atMs: number;
  readonly state: 'taken' | 'returned';
}

export const probeBudget = { refusals: 2, windowMs: 30 * 60_000 } as const;
export const claimsWithoutProgress = 3;
export const policyRefusals = 5;
