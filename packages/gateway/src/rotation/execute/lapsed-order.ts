import type { JobWhy } from '@sallyport/protocol';
import type { SendRow } from '@sallyport/rotation';

/**
 * What becomes of a job whose order does not hold any more. Begun while it held, it goes on: its candidate opens, which it
 * does only with an order that held when it was sealed, and nothing new is staged. Else it ends here.
 *
 * @param claimed.candidateOpens - the stored candidate opens as every reader opens it; false without one.
 * @returns null: it goes on. Nobody may call over what may have changed the account: then a person looks (M4).
 */
export function decideLapsed(
  lapsed: JobWhy | null,
  claimed: { readonly candidateOpens: boolean; readonly sends: readonly SendRow[] },
): { readonly outcome: 'failed' | 'attention'; readonly why: JobWhy } | null {
  if (lapsed === null || claimed.candidateOpens) return null;
  const mayHaveChanged = claimed.sends.some(
    ({ outcome }) => outcome === null || outcome === 'unknown' || outcome === 'applied',
  );
  return { outcome: mayHaveChanged ? 'attention' : 'failed', why: lapsed };
}
