import type { MassLoss, Member, RouterPools } from './pool-state.ts';
import { limits, memberCount } from './silence.ts';
import { graceFor } from './timing.ts';

/** Over half of this router's links closed within S: it is us, not they, unless one that stayed says otherwise. */
export function noteClose(state: RouterPools): void {
  const since = state.judgeMs - limits(state).suspectMs;
  state.closes.push(state.judgeMs);
  while ((state.closes[0] ?? since) < since) state.closes.shift();
  const recent = state.closes.length;
  if (recent < 2 || recent * 2 <= state.links.size + recent) return;
  // Found in this very millisecond: who was lost before this one has its grace, and this one gets it in `goAbsent`.
  if (state.massLoss?.untilMs === state.judgeMs) return;
  state.massLoss = { sinceMs: state.closes[0] ?? state.judgeMs, untilMs: state.judgeMs };
  state.graceUntilMs = state.judgeMs + graceMs(state);
  for (const member of lostIn(state, state.massLoss)) {
    member.reserveUntilMs = Math.max(member.reserveUntilMs, state.graceUntilMs);
  }
}

/**
 * A link from before the loss proved a round trip after it: router and network are well, so they died, and whoever
 * waits need not wait for RG. Were this wrong, the next close would find a mass loss again.
 */
export function refuteMassLoss(state: RouterPools, loss: MassLoss): void {
  state.lookAtMs = 0;
  state.massLoss = null;
  state.closes = [];
  state.graceUntilMs = 0;
  for (const member of lostIn(state, loss)) {
    member.reserveUntilMs = member.absentSinceMs + state.timing.reserveMs;
  }
}

function* lostIn(state: RouterPools, loss: MassLoss): Generator<Member> {
  for (const pool of state.pools.values()) {
    for (const member of pool.members.values()) {
      const isLost = member.absentSinceMs >= loss.sinceMs && member.absentSinceMs <= loss.untilMs;
      if (member.health === 'absent' && isLost) yield member;
    }
  }
}

/**
 * While a grace runs and nobody at all is linked it cannot be seen whether the way is open again: it counts from the
 * first link. An outage of 4 s would otherwise leave a member 1 s of RG, and give its slot to whoever dials first.
 */
export function holdGrace(state: RouterPools): void {
  const before = state.graceUntilMs;
  if (state.massLoss === null || state.judgeMs >= before) return;
  state.graceUntilMs = state.judgeMs + graceMs(state);
  for (const pool of state.pools.values()) {
    for (const member of pool.members.values()) {
      if (member.health === 'absent' && member.reserveUntilMs >= before) member.reserveUntilMs = state.graceUntilMs;
    }
  }
}

/** RG as it is now, with as many members as there are. */
export function graceMs(state: RouterPools): number {
  return graceFor(state.timing, memberCount(state));
}
