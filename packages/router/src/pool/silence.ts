import type { RouterPools } from './pool-state.ts';
import { silenceLimits, tellBeat } from './timing.ts';

/** After which silence an instance is suspect, and cut, ms. */
export type Silence = ReturnType<typeof silenceLimits>;

/** h as it is told now, ms. */
export function beatMs(state: RouterPools): number {
  state.told = tellBeat(state.timing, state.told, state.links.size, state.judgeMs);
  return Math.ceil(state.told.beatMs);
}

/** S and G as they are now. */
export function limits(state: RouterPools): Silence {
  return silenceLimits(state.timing, beatMs(state));
}
