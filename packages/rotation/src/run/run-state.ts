import type { JobWhy } from '@sallyport/protocol';
import { type SendRow, policyRefusals } from '../account/rows.ts';
import type { ClaimView, RunEffect, RunSettings } from './effects.ts';

/** Writes of one run at most; a target that never says how one ended asks for a person. */
export const sendsAtMost = 12;

/** A run in the memory of its holder. All that another holder needs is in the store; the rest is learnt again. */
export interface RunState {
  readonly view: ClaimView;
  readonly settings: RunSettings;
  /** What the executor does now; null: the run is over. */
  readonly effect: RunEffect | null;
  /** What a connection is for: to write, or to end other sessions before a look (fence `evict`). */
  readonly goal: 'write' | 'evict';
  /** What follows a pause. */
  readonly next: RunEffect | 'look' | null;
  readonly candidate: number | null;
  readonly rejections: number;
  readonly sends: readonly SendRow[];
  /** A permit was asked for and the answer was lost: the store may have given it. Nothing was written under it. */
  readonly mayBePermitted: boolean;
  /** Version that opened last; null: nobody looked. */
  readonly inForce: number | null;
  /** Versions that were refused since the last write settled. */
  readonly refused: readonly number[];
  /** The policy refused a candidate that an earlier write may have set: perhaps it refuses what is in its history. */
  readonly policyDoubt: number | null;
  /** The last write was not sent; its report says that nothing was changed by it. */
  readonly notSent: boolean;
  /** Answers in a row that were none. */
  readonly waits: number;
  readonly storeWaits: number;
  readonly isPromoted: boolean;
  /** What opened before could not be removed: it is left over, and the store knows (R10). */
  readonly isLeftOver: boolean;
}

export interface RunStep {
  readonly state: RunState;
  /** null: nothing new. Either the run is over, or the answer to the last effect is still awaited. */
  readonly effect: RunEffect | null;
}

export function go(state: RunState, effect: RunEffect): RunStep {
  return { state: { ...state, effect }, effect };
}

export function over(state: RunState): RunStep {
  return { state: { ...state, effect: null }, effect: null };
}

/** May a write of this run still have changed the account, or change it yet? */
function mayHaveChanged({ sends, mayBePermitted }: RunState): boolean {
  return mayBePermitted || sends.some((send) => isOpenEnded(send));
}

export function isOpenEnded({ outcome }: SendRow): boolean {
  return outcome === null || outcome === 'unknown' || outcome === 'applied';
}

/** Ends a run that cannot go on: nobody has to look if nothing can have been changed. */
export function fail(state: RunState, why: JobWhy): RunStep {
  const outcome = !state.isPromoted && mayHaveChanged(state) ? 'attention' : 'failed';
  return go(state, { do: 'finish', outcome, why });
}

/** The same again after a while, twice as long each time; after `waitsAtMost` in a row the run ends. */
export function pause(state: RunState, next: RunEffect | 'look', why: JobWhy): RunStep {
  const { waitFirstMs, waitMaxMs, waitsAtMost } = state.settings;
  if (state.waits >= waitsAtMost) return fail(state, mayHaveChanged(state) ? 'waited-too-long' : why);
  const ms = Math.min(waitMaxMs, waitFirstMs * 2 ** state.waits);
  return go({ ...state, waits: state.waits + 1, next }, { do: 'pause', ms, untilMs: null, why });
}

/** A + Q from now no write of an earlier permit takes effect by its own limits. */
export function settle(state: RunState): RunStep {
  const { settleMs } = state.settings;
  return go({ ...state, next: 'look', refused: [] }, { do: 'pause', ms: settleMs, untilMs: null, why: 'settling' });
}

/** What may open the account, likeliest first: the candidate if it was ever sent, the vault's, what else was sent. */
export function likely(state: RunState): readonly number[] {
  const sent = state.sends.filter((send) => send.outcome !== 'denied').map((send) => send.version);
  const first = state.candidate !== null && sent.includes(state.candidate) ? [state.candidate] : [];
  return [...new Set([...first, state.view.current, ...[...sent].sort((a, b) => b - a)])];
}

/** `likely`, then every other version that the claim told of, newest first; never a candidate that was not sent. */
export function lookOrder(state: RunState): readonly number[] {
  const rest = state.view.versions.map(({ n }) => n).filter((n) => n !== state.candidate);
  return [...new Set([...likely(state), ...rest])];
}

export function lastRefusalOfPolicy(state: RunState): boolean {
  return state.rejections >= policyRefusals;
}
