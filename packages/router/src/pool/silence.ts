import type { RouterPools } from './pool-state.ts';
import { silenceLimits, tellBeat } from './timing.ts';

/** After which silence an instance is suspect, and cut, ms. */
export type Silence = ReturnType<typeof silenceLimits>;

/** h as it is told now, ms. */
export function beatMs(state: RouterPools): number {
  state.told = tellBeat(state.timing, state.told, linksExpected(state), state.judgeMs);
  return Math.ceil(state.told.beatMs);
}

/**
 * After a start, or the loss of most links, all members are on their way back: who is there already is told the beat of
 * all, so that thousands of handshakes do not wait behind its beats. Never more than proved themselves before.
 */
export function linksExpected(state: RouterPools): number {
  const { judgeMs, startUntilMs, graceUntilMs, links } = state;
  return judgeMs < startUntilMs || judgeMs < graceUntilMs ? Math.max(links.size, memberCount(state)) : links.size;
}

/** All that the store knows, linked or not. */
export function memberCount(state: RouterPools): number {
  let members = 0;
  for (const pool of state.pools.values()) members += pool.members.size;
  return members;
}

/** S and G as they are now. */
export function limits(state: RouterPools): Silence {
  return silenceLimits(state.timing, beatMs(state));
}
