import { goAbsent, cut, makeSuspect } from './health.ts';
import { askRead } from './held-news.ts';
import { expireChallenges } from './link-events.ts';
import { holdGrace } from './mass-loss.ts';
import type { Pool, PoolEffect, RouterPools } from './pool-state.ts';
import { settle, roomOf } from './settle.ts';
import { type Silence, limits, linksExpected } from './silence.ts';
import { sweepEvidence } from './take-word.ts';
import { beatIntervalMs } from './timing.ts';

/** Streams on their way and pairs are looked through this often: their times are tens of seconds. */
const evidenceSweepMs = 1_000;

const never = Number.POSITIVE_INFINITY;

/**
 * A tick that has something to look for. Most have not: nothing falls due before `lookAtMs`, unless an event comes, and
 * each that could matter sets it back. Twenty scans a second of all members cost the simulation a third of its time.
 */
export function look(state: RouterPools): readonly PoolEffect[] {
  const effects: PoolEffect[] = [];
  const silence = limits(state);
  if (state.links.size === 0) holdGrace(state);
  for (const pool of state.pools.values()) tick(state, pool, silence, effects);
  if (effects.length > 0 || (state.massLoss !== null && state.links.size === 0)) {
    state.lookAtMs = state.judgeMs;
    return effects;
  }
  const sinks = state.told.beatMs > beatIntervalMs(state.timing, linksExpected(state));
  let at = sinks ? state.judgeMs + state.timing.beatMs : never;
  for (const pool of state.pools.values()) at = Math.min(at, nextLookAt(state, pool, silence));
  state.lookAtMs = at;
  return effects;
}

/**
 * The earliest judge time at which a tick may do something in this pool, if no event comes before. A beat only moves it
 * later, except that of a standby that was late: while one is, every tick looks.
 */
function nextLookAt(state: RouterPools, pool: Pool, silence: Silence): number {
  if (pool.joining.size > 0 || pool.held.length > 0) return state.judgeMs;
  let at = pool.sweptAtMs + evidenceSweepMs;
  const due = (ms: number): void => {
    if (ms > state.judgeMs && ms < at) at = ms;
  };
  due(pool.restUntilMs);
  for (const member of pool.members.values()) {
    if (member.link !== null) at = Math.min(at, member.link.heardAtMs + silence.suspectMs);
    if (member.promoteByMs !== null) due(member.promoteByMs);
    if (member.health !== 'absent') continue;
    due(member.reserveUntilMs);
    due(member.absentSinceMs + state.timing.unwantedMs);
  }
  return at;
}

function tick(state: RouterPools, pool: Pool, silence: Silence, effects: PoolEffect[]): void {
  let calm = pool.ring.length === pool.members.size || pool.ring.length >= roomOf(pool);
  for (const member of pool.members.values()) {
    if (member.link === null || member.promoteByMs !== null) calm = false;
    if (member.link === null) continue;
    const silentMs = state.judgeMs - member.link.heardAtMs;
    if (silentMs >= silence.cutMs) {
      calm = false;
      cut(state, member, 'silent', effects);
      goAbsent(state, member, state.judgeMs);
    } else if (silentMs >= silence.suspectMs && member.health === 'ok') makeSuspect(member);
  }
  if (pool.joining.size > 0) expireChallenges(state, pool, effects);
  if (state.judgeMs - pool.sweptAtMs >= evidenceSweepMs) sweepEvidence(pool, state.judgeMs);
  if (pool.held.length > 0 && state.judgeMs >= pool.restUntilMs) askRead(pool, effects);
  if (!calm) settle(state, pool, effects);
}
