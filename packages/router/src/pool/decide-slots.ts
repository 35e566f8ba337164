import type { InstanceId } from '@sallyport/protocol';
import type { Drain, GoneReason, Intent, MemberRow } from './member.ts';
import { isReplaced, type PoolChange, PoolDraft, type PoolRows } from './pool-rows.ts';
import type { MemberRef } from './pool-store.ts';

/**
 * The other moves of register 1. Each is pure, over rows read after the lock, and skips refs that no longer hold, so
 * that a late or repeated message changes nothing.
 */

/** Free slots go to those in line who are alive (`waiting`), in order. */
export function decideFill(rows: PoolRows, waiting: readonly InstanceId[], nowMs: number): PoolChange {
  const draft = new PoolDraft(rows, nowMs);
  fill(draft, waiting);
  return draft.change();
}

/**
 * Slots of members absent for longer than the reserve go to those waiting, while count ≤ max: of a pool over its
 * (lowered) maximum nobody is replaced, and one whose replacement was asked for leaves no slot behind.
 */
export function decideReclaim(
  rows: PoolRows,
  absent: readonly MemberRef[],
  waiting: readonly InstanceId[],
  nowMs: number,
): PoolChange {
  const draft = new PoolDraft(rows, nowMs);
  fill(draft, waiting);
  for (const ref of absent) {
    const next = nextInLine(draft, waiting);
    if (next === undefined || draft.slots().length > draft.room()) break;
    const member = holding(draft, ref);
    if (member?.membership !== 'slot' || isReplaced(member)) continue;
    draft.remove(member, 'displaced');
    draft.grantSlot(next);
  }
  return draft.change();
}

/** A promotion that was not acknowledged in time: to the tail (F21). */
export function decideDemotion(rows: PoolRows, ref: MemberRef, nowMs: number): PoolChange {
  const draft = new PoolDraft(rows, nowMs);
  const member = holding(draft, ref);
  if (member?.membership === 'slot') draft.queueAtTail(member);
  return draft.change();
}

/** Members that left, and displaced ones that never came back. */
export function decideLeave(rows: PoolRows, refs: readonly MemberRef[], reason: GoneReason, nowMs: number): PoolChange {
  const draft = new PoolDraft(rows, nowMs);
  for (const ref of refs) {
    const member = holding(draft, ref);
    if (member !== undefined && (member.membership !== 'gone' || member.goneReason === 'displaced')) {
      draft.remove(member, reason);
    }
  }
  return draft.change();
}

/** Everybody of a gateway that was removed. */
export function decideRevocation(rows: PoolRows, nowMs: number): PoolChange {
  const draft = new PoolDraft(rows, nowMs);
  for (const member of rows.members) if (member.membership !== 'gone') draft.remove(member, 'revoked');
  return draft.change();
}

/**
 * Register 2: `serve ⇄ cordon`, `serve|cordon → drain`, one way, a deadline only moves earlier. A standby told to
 * drain has nothing to finish: it is gone. `refused`: not a member, or the table says no.
 *
 * @see architecture section 4, rows "cordon, uncordon" and "drain"
 */
export function decideIntent(
  rows: PoolRows,
  instance: InstanceId,
  intent: Intent,
  nowMs: number,
): PoolChange | { readonly refused: 'absent' | 'draining' } {
  const draft = new PoolDraft(rows, nowMs);
  const member = draft.get(instance);
  if (member === undefined || member.membership === 'gone') return { refused: 'absent' };
  if (intent.kind === 'drain') {
    if (member.membership === 'standby') draft.remove({ ...member, intent }, 'drained');
    else drain(draft, member, intent);
  } else if (member.intent.kind === 'drain') return { refused: 'draining' };
  else draft.put({ ...member, intent });
  return draft.change();
}

/** What the router knows of a member's streams when a surplus is drained; who is not named has none. */
export type StreamCounts = readonly { readonly instance: InstanceId; readonly streams: number }[];

/**
 * The members over a (lowered) maximum drain: fewest streams first, then the youngest. Those who drain already are on
 * their way and count as gone.
 *
 * @returns who begins to drain, in that order; empty when nobody is over it.
 * @see architecture section 4, row "maximum lowered"
 */
export function decideSurplus(
  rows: PoolRows,
  counts: StreamCounts,
  deadlineAtMs: number,
  nowMs: number,
): { readonly change: PoolChange; readonly drained: readonly InstanceId[] } {
  const draft = new PoolDraft(rows, nowMs);
  const streams = new Map(counts.map((count) => [count.instance, count.streams]));
  const running = (member: MemberRow): number => streams.get(member.instance) ?? 0;
  const staying = draft.slots().filter((member) => member.intent.kind !== 'drain');
  const surplus = staying
    .toSorted((a, b) => running(a) - running(b) || b.seq - a.seq)
    .slice(0, Math.max(0, staying.length - rows.maxInstances));
  for (const member of surplus) drain(draft, member, { kind: 'drain', by: 'surplus', deadlineAtMs });
  return { change: draft.change(), drained: surplus.map((member) => member.instance) };
}

/** One way: the earlier deadline holds, with who set it; a replacement once asked for stays. */
function drain(draft: PoolDraft, member: MemberRow, asked: Drain): void {
  const before = member.intent.kind === 'drain' ? member.intent : null;
  const holds = before !== null && before.deadlineAtMs <= asked.deadlineAtMs ? before : asked;
  const replaced = before?.replace === true || asked.replace === true;
  const intent: Drain = { ...holds, ...(replaced ? { replace: true } : {}) };
  if (before === null || holds !== before || intent.replace !== before.replace) draft.put({ ...member, intent });
}

function fill(draft: PoolDraft, waiting: readonly InstanceId[]): void {
  while (draft.slots().length < draft.room()) {
    const next = nextInLine(draft, waiting);
    if (next === undefined) return;
    draft.grantSlot(next);
  }
}

function nextInLine(draft: PoolDraft, waiting: readonly InstanceId[]): MemberRow | undefined {
  return draft.candidates().find((member) => waiting.includes(member.instance));
}

function holding(draft: PoolDraft, ref: MemberRef): MemberRow | undefined {
  const member = draft.get(ref.instance);
  const same = member?.seq === ref.seq && member.epoch === ref.epoch && member.hellos === ref.hellos;
  return same ? member : undefined;
}
