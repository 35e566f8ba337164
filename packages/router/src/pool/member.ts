import type { ApplicationUid, GatewayUid, HostView, InstanceId } from '@sallyport/protocol';

/** Register 2, in the store: what an operator or the instance wants. `drain` is one way, its deadline only moves earlier. */
export type Intent = { readonly kind: 'serve' } | { readonly kind: 'cordon' } | Drain;

export interface Drain {
  readonly kind: 'drain';
  readonly by: 'operator' | 'gateway' | 'surplus';
  readonly deadlineAtMs: number;
  /** Until it is gone one more than the maximum may be admitted (F19). Only ever added. */
  readonly replace?: true | undefined;
}

/** Why an instance is gone. A displaced one returns to the head of the line; the others join anew. */
export type GoneReason =
  | 'stopped'
  | 'drained'
  | 'refused'
  | 'link-closed'
  | 'displaced'
  | 'lost'
  | 'identity'
  | 'revoked';

/** Register 1, in the store. `joining` is not in it: that is a link whose admission is not committed yet. */
type Membership = 'slot' | 'standby' | 'gone';

/** One row: an instance as the store knows it. Times are Unix milliseconds. */
export interface MemberRow {
  readonly gateway: GatewayUid;
  readonly instance: InstanceId;
  readonly membership: Membership;
  /** Only when gone. */
  readonly goneReason: GoneReason | null;
  /** Slot: admission number, the order of turns. Standby: place in line. From one counter a gateway; may be negative. */
  readonly seq: number;
  /** Fencing number of the slot held or last held; 0 = never held one. High half: the store's incarnation. */
  readonly epoch: number;
  /** Hellos of this identity so far: whoever saw an earlier number did not see it return. */
  readonly hellos: number;
  readonly intent: Intent;
  readonly host: HostView;
  readonly version: string;
  readonly address: string;
  /** First hello of this membership of the pool, and last change of `membership`. */
  readonly connectedAtMs: number;
  readonly sinceAtMs: number;
}

export interface GatewayRow {
  readonly uid: GatewayUid;
  readonly app: ApplicationUid;
  readonly maxInstances: number;
  /** Grows with every deciding transaction. */
  readonly version: number;
  readonly everConnected: boolean;
  readonly createdAtMs: number;
  readonly modifiedAtMs: number;
}

/**
 * What one deciding transaction changed, for whoever knows the pool at version `follows` or later: the gateway's row and the
 * changed members as they are now, those that left too. An admission that answered its whole pool cost n joins n².
 */
export interface PoolDelta {
  readonly gateway: GatewayRow;
  readonly follows: number;
  readonly changed: readonly MemberRow[];
}

/** Does the row belong to the pool? A displaced one does: it comes back at the head of the line. */
export function isListed(row: Pick<MemberRow, 'membership' | 'goneReason'>): boolean {
  return row.membership !== 'gone' || row.goneReason === 'displaced';
}

/** A gateway with its slots, standbys and displaced members at one version, ordered by seq. */
export interface PoolSnapshot {
  readonly gateway: GatewayRow;
  readonly members: readonly MemberRow[];
}
