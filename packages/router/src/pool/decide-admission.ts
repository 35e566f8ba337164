import type { GatewayUid, HostView, InstanceId } from '@sallyport/protocol';
import type { Intent, MemberRow } from './member.ts';
import { type PoolChange, PoolDraft, type PoolRows } from './pool-rows.ts';

/** Who asks: an instance whose hello was proved. */
export interface Join {
  readonly gateway: GatewayUid;
  readonly instance: InstanceId;
  readonly noStandby: boolean;
  readonly host: HostView;
  readonly version: string;
  readonly address: string;
}

export type AdmissionOutcome =
  | { readonly kind: 'slot'; readonly seq: number; readonly epoch: number }
  | { readonly kind: 'standby'; readonly position: number; readonly reason: string }
  /** `--no-standby` and no slot to have. */
  | { readonly kind: 'full'; readonly reason: string }
  /** The line is full too. */
  | { readonly kind: 'line-full'; readonly reason: string };

/** At most this many wait, so that a leaked configuration cannot pile up links (F18). */
function lineLimit(maxInstances: number): number {
  return 2 * maxInstances + 10;
}

/** What a standby is told, and an operator sees. */
export function standbyReason(maxInstances: number, slots: number, ahead: number, intent: Intent): string {
  if (intent.kind !== 'serve') return `not promoted while ${intent.kind === 'cordon' ? 'cordoned' : 'draining'}`;
  if (slots >= maxInstances) return `pool full: maximum ${maxInstances}, connected ${slots}`;
  return `waiting for promotion: ${ahead} ahead`;
}

/**
 * Decides a hello over the rows read *after* the gateway's row was locked.
 *
 * A held slot and a held place are kept with their seq and epoch. A displaced instance comes back at the head of the
 * line. Anybody else gets a slot if count < max and nobody waits; else a place, unless it wants none or the line is
 * full. Pure; never throws.
 *
 * @see architecture section 4, row "hello proved"
 */
export function decideAdmission(
  rows: PoolRows,
  join: Join,
  nowMs: number,
): { readonly outcome: AdmissionOutcome; readonly change: PoolChange } {
  const draft = new PoolDraft(rows, nowMs);
  const outcome = admit(draft, join, nowMs);
  return { outcome, change: draft.change() };
}

function admit(draft: PoolDraft, join: Join, nowMs: number): AdmissionOutcome {
  const known = draft.get(join.instance);
  const described = { host: join.host, version: join.version, address: join.address };
  if (known !== undefined && known.membership !== 'gone') {
    return outcomeOf(draft, draft.put({ ...known, ...described, hellos: known.hellos + 1 }));
  }
  const row: MemberRow = {
    gateway: join.gateway,
    instance: join.instance,
    membership: 'gone',
    goneReason: null,
    seq: 0,
    epoch: known?.epoch ?? 0,
    hellos: (known?.hellos ?? 0) + 1,
    // A cordon or drain belongs to the identity: it survives every loss and return of it (I8).
    intent: known?.intent ?? { kind: 'serve' },
    ...described,
    connectedAtMs: nowMs,
    sinceAtMs: nowMs,
  };
  const slots = draft.slots().length;
  const room = draft.room();
  const displaced = known?.goneReason === 'displaced';
  const mayServe = row.intent.kind === 'serve';
  if (mayServe && slots < room && (displaced || draft.candidates().length === 0)) {
    return outcomeOf(draft, draft.grantSlot(row));
  }
  const reason = standbyReason(room, slots, draft.candidates().length, row.intent);
  if (displaced) return outcomeOf(draft, draft.queueAtHead(row));
  if (join.noStandby) return { kind: 'full', reason };
  if (draft.line().length >= lineLimit(draft.maxInstances)) {
    return { kind: 'line-full', reason: `${reason}, waiting ${draft.line().length}` };
  }
  return outcomeOf(draft, draft.queueAtTail(row));
}

function outcomeOf(draft: PoolDraft, row: MemberRow): AdmissionOutcome {
  if (row.membership === 'slot') return { kind: 'slot', seq: row.seq, epoch: row.epoch };
  const ahead = draft.line().filter((other) => other.seq < row.seq).length;
  const reason = standbyReason(draft.room(), draft.slots().length, ahead, row.intent);
  return { kind: 'standby', position: ahead + 1, reason };
}
