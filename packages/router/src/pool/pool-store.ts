import type { ApplicationUid, GatewayUid, HostView, InstanceId } from '@sallyport/protocol';
import type { AdmissionOutcome } from './decide-admission.ts';
import type { StreamCounts } from './decide-slots.ts';
import type { GoneReason, Intent, PoolDelta, PoolSnapshot } from './member.ts';

/**
 * Names one membership as somebody saw it, so that a late word about an earlier one changes nothing: not the slot of a
 * later epoch, and not that of a member who has said hello since (a reclaim that commits after the return of the absent
 * one; found by the simulation, seed 2).
 */
export interface MemberRef {
  readonly instance: InstanceId;
  readonly seq: number;
  readonly epoch: number;
  readonly hellos: number;
}

interface AdmitInput {
  readonly gateway: GatewayUid;
  readonly instance: InstanceId;
  readonly noStandby: boolean;
  readonly host: HostView;
  readonly version: string;
  readonly address: string;
  readonly nowMs: number;
}

/** One-time token of a join configuration. */
interface TokenRow {
  /** HKDF name of the token. */
  readonly lookup: string;
  readonly blob: string;
  readonly expiresAtMs: number;
}

type Redeemed =
  | { readonly kind: 'blob'; readonly gateway: GatewayUid; readonly blob: string }
  | { readonly kind: 'unknown' | 'expired' | 'used' };

/**
 * Gateways, slots and tokens. Each method is one transaction that first locks and bumps the gateway's row, and only
 * then counts (F6). Methods that decide answer what they changed, or the whole pool where an operator asked; `null` = no such
 * gateway, or removed.
 *
 * I1: no transaction takes the number of slots above the maximum.
 */
export interface PoolStore {
  /** PAM_CONFLICT when the UID is taken. The item that names it is written by the vault, in the same `together`. */
  createGateway(input: {
    readonly uid: GatewayUid;
    readonly app: ApplicationUid;
    readonly maxInstances: number;
    readonly token: TokenRow | null;
    readonly nowMs: number;
  }): Promise<void>;
  /** All members gone(revoked), tokens dropped; answers those who were in. PAM_NOT_FOUND. PAM_IN_USE is the vault's (removeItem). */
  removeGateway(input: { readonly uid: GatewayUid; readonly nowMs: number }): Promise<readonly InstanceId[]>;
  /** New pool keys: all members gone(revoked), tokens dropped, the gateway stays. Answers those who were in. PAM_NOT_FOUND. */
  rekeyGateway(input: {
    readonly uid: GatewayUid;
    readonly nowMs: number;
  }): Promise<{ readonly gone: readonly InstanceId[]; readonly snapshot: PoolSnapshot }>;
  readPools(input: Record<never, never>): Promise<readonly PoolSnapshot[]>;
  readPool(input: { readonly gateway: GatewayUid }): Promise<PoolSnapshot | null>;
  /** A proved hello: slot, standby or refusal; a row that exists keeps seq and epoch. */
  admit(input: AdmitInput): Promise<{ readonly outcome: AdmissionOutcome; readonly delta: PoolDelta } | null>;
  /** Fills free slots from the line, in order, only with those in `waiting` (the router sees them alive). */
  fill(input: {
    readonly gateway: GatewayUid;
    readonly waiting: readonly InstanceId[];
    readonly nowMs: number;
  }): Promise<PoolDelta | null>;
  /** Gives slots of `absent` members (longest absent first) to those waiting, while count ≤ max: gone(displaced). */
  reclaim(input: {
    readonly gateway: GatewayUid;
    readonly absent: readonly MemberRef[];
    readonly waiting: readonly InstanceId[];
    readonly nowMs: number;
  }): Promise<PoolDelta | null>;
  /** A promotion nobody acknowledged: back to the tail of the line. */
  demote(input: {
    readonly gateway: GatewayUid;
    readonly member: MemberRef;
    readonly nowMs: number;
  }): Promise<PoolDelta | null>;
  /** Members that left; a ref that no longer holds is skipped. */
  leave(input: {
    readonly gateway: GatewayUid;
    readonly members: readonly MemberRef[];
    readonly reason: GoneReason;
    readonly nowMs: number;
  }): Promise<PoolDelta | null>;
  /** Lowering it stops nothing, unless `surplus` is given: then those over it drain (`drained`, in their order). */
  setMaximum(input: {
    readonly gateway: GatewayUid;
    readonly maxInstances: number;
    readonly surplus?: { readonly counts: StreamCounts; readonly deadlineAtMs: number } | undefined;
    readonly nowMs: number;
  }): Promise<{
    readonly before: number;
    readonly admitted: number;
    readonly drained: readonly InstanceId[];
    readonly snapshot: PoolSnapshot;
  } | null>;
  /** Table of section 4, rows cordon, uncordon, drain. PAM_NOT_FOUND: not a member; PAM_CONFLICT: refused by the table. */
  setIntent(input: {
    readonly gateway: GatewayUid;
    readonly instance: InstanceId;
    readonly intent: Intent;
    readonly nowMs: number;
  }): Promise<PoolSnapshot | null>;
  /** The first redeemer may ask again until it acknowledges. */
  redeemToken(input: { readonly lookup: string; readonly redeemer: string; readonly nowMs: number }): Promise<Redeemed>;
  /** Drops the blob. Idempotent for its redeemer, PAM_TOKEN_USED for another, PAM_TOKEN_UNKNOWN. */
  acknowledgeToken(input: {
    readonly lookup: string;
    readonly redeemer: string;
    readonly nowMs: number;
  }): Promise<void>;
}
