import type { JobView, UserSecrets } from '@sallyport/protocol';
import type { AccountState } from '../owner.ts';

/** What was found when a run was over and everybody was back. */
export interface RunEnd {
  readonly job: JobView;
  readonly before: { readonly secrets: UserSecrets; readonly rev: number };
  readonly state: AccountState;
  /** Numbers of the versions that open the account at the server. */
  readonly opening: readonly number[];
  /** Whether what the vault's record holds opens it. */
  readonly vaultOpens: boolean;
  /** Of kinds that put credentials beside each other; null for others. */
  readonly beside: {
    /** Credentials at the server that neither a version nor the record knows. */
    readonly unknown: number;
    /** Versions that open it after one more rotation, without a fault; null when there was no need of one. */
    readonly openingAfterNext: number | null;
  } | null;
}

/**
 * What must hold whatever was stopped when; empty: all of it does.
 *
 * K1 exactly one recorded version opens the account, or none was ever recorded and the record's own secret does. Beside each
 *    other, one or several do: what a late write left is gone after the next rotation.
 * K2 what the vault holds opens it, or the record says that it needs attention.
 * K3 one run changes the record's secret at most once, and leaves at most one candidate that is no refused one.
 * K4 a run that says `done` changed it; one that failed or was cancelled did not.
 * K5 nothing opens the account that nobody knows.
 *
 * K6, that a run is over in time, is asked before any of it: of one that goes on nothing else can be said.
 */
export function whatDoesNotHold({ job, before, state, opening, vaultOpens, beside }: RunEnd): readonly string[] {
  const isOpenQuestion = job.state === 'attention' || state.attention !== null;
  const mine = state.versions.filter((one) => one.job === job.job && one.state !== 'refused');
  const moved = state.rev - before.rev;
  const isChanged = JSON.stringify(state.secrets) !== JSON.stringify(before.secrets);
  const found: readonly (readonly [boolean, string])[] = [
    [
      state.versions.length > 0 && (beside === null ? opening.length !== 1 : opening.length === 0),
      `K1 ${opening.length} of ${state.versions.length} versions open`,
    ],
    [
      (beside?.openingAfterNext ?? 1) !== 1,
      `K1 ${beside?.openingAfterNext} versions open after another rotation that was not disturbed`,
    ],
    [state.versions.length === 0 && !vaultOpens, 'K1 nothing recorded opens the account'],
    [!vaultOpens && !isOpenQuestion, 'K2 the vault does not open the account, and says nothing'],
    [moved > 1, `K3 the record's secret moved ${moved} revisions`],
    [mine.length > 1, `K3 ${mine.length} candidates of one run`],
    [job.state === 'done' && (moved !== 1 || !isChanged), 'K4 done, and the record has the old secret'],
    [(job.state === 'failed' || job.state === 'cancelled') && (moved !== 0 || isChanged), 'K4 failed, and changed'],
    [(beside?.unknown ?? 0) > 0, `K5 ${beside?.unknown} credentials open that no version knows`],
  ];
  return found.filter(([isBroken]) => isBroken).map(([, what]) => what);
}
