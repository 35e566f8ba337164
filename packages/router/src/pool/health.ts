import type { CutReason, Member, PoolEffect, RouterPools } from './pool-state.ts';
import { slowStart } from './take-word.ts';

/** New or back: what is on its way there now says nothing about how it will do. */
export function warmUp(member: Member): void {
  member.openings = 0;
  member.warmth = slowStart.first;
}

/** Its link is gone: its place is kept until `reserveUntilMs`, and not given away while a grace runs. */
export function goAbsent(state: RouterPools, member: Member, reserveUntilMs: number): void {
  member.health = 'absent';
  member.absentSinceMs = state.judgeMs;
  member.reserveUntilMs = Math.max(reserveUntilMs, state.graceUntilMs);
  member.beatsOnTime = 0;
}

/** Ends its link, if there is one. */
export function cut(state: RouterPools, member: Member, why: CutReason, effects: PoolEffect[]): void {
  if (member.link === null) return;
  state.links.delete(member.link.id);
  effects.push({ kind: 'cut', link: member.link.id, why });
  member.link = null;
}

/** Silent, or passed over by a hedge: used only when nobody better is there. */
export function makeSuspect(member: Member): void {
  if (member.health === 'absent' || member.row.membership !== 'slot') return;
  member.health = 'suspect';
  member.beatsOnTime = 0;
}
