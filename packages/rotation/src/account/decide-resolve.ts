import { type Decision, refuse } from './account-rows.ts';
import type { AccountRow, VersionRow } from './rows.ts';

export interface ResolveRows {
  readonly account: AccountRow;
  readonly versions: readonly VersionRow[];
}

/**
 * Somebody says which version opens the account. Unless the vault holds it already, it is sealed anew as the record's
 * next revision, which is a version of its own: no row is changed or removed (R8).
 *
 * @param request.rev - the record's next revision of secrets, when one was given.
 */
export function decideResolve(
  rows: ResolveRows,
  request: { readonly version: number | null; readonly rev: number | null },
  nowMs: number,
): Decision<{ readonly adopted: VersionRow | null }, ResolveRows> {
  const { account, versions } = rows;
  if (account.job !== null) return refuse(rows, 'PAM_JOB_BUSY', `the account has the open job ${account.job}`);
  const isKnown = request.version === null || versions.some((each) => each.n === request.version);
  if (!isKnown) return refuse(rows, 'PAM_CONFLICT', `the account has no version ${request.version}`);
  if (request.rev === null) {
    if (request.version === null || request.version === account.current) {
      return { ok: true, rows, answer: { adopted: null } };
    }
    return refuse(rows, 'PAM_CONFLICT', `the vault does not hold version ${request.version}: seal it as its next`);
  }
  const n = account.nextVersion;
  const adopted = { account: account.account, n, job: null, rev: request.rev, state: 'adopted', atMs: nowMs } as const;
  return {
    ok: true,
    rows: { account: { ...account, current: n, nextVersion: n + 1 }, versions: [adopted, ...versions] },
    answer: { adopted },
  };
}
