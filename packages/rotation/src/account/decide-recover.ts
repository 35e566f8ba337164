import type { JobId } from '@sallyport/protocol';
import { type Decision, refuse } from './account-rows.ts';
import type { AccountRow, VersionRow } from './rows.ts';

/** What an instance saw of an account, by its journal. */
export interface SeenNumbers {
  readonly epoch: number;
  readonly send: number;
}

/**
 * An instance knows a higher number of the account than the store: the store is an older one that was restored. Its
 * numbers go above both (R5), and nothing is rotated before a check, or somebody, has seen which version opens.
 *
 * @param below - numbers from here on cannot have been given out by any store so far: they are not believed.
 * @returns the same row when the store knows as much.
 */
export function decideSeen(account: AccountRow, seen: SeenNumbers, below: number): AccountRow {
  if (seen.epoch >= below || seen.send >= below) return account;
  if (seen.epoch <= account.epoch && seen.send <= account.send) return account;
  return { ...account, epoch: Math.max(account.epoch, seen.epoch), send: Math.max(account.send, seen.send) };
}

/** Versions of one account that came back from journals; more are refused. */
export const recoveredAtMost = 64;

/**
 * Takes a candidate back that the store lost: a version of its own, which nothing points to. Whether its envelope is what
 * it says, readers see (ADR 0015): it opens only for the account's record and with the order it was written under.
 *
 * @param request.recovered - how many of the account came back before.
 */
export function decideRecover(
  rows: { readonly account: AccountRow; readonly versions: readonly VersionRow[] },
  request: { readonly job: JobId; readonly rev: number; readonly atMs: number; readonly recovered: number },
  nowMs: number,
): Decision<{ readonly version: number }, typeof rows> {
  const { account, versions } = rows;
  if (request.recovered >= recoveredAtMost) {
    return refuse(rows, 'PAM_CONFLICT', `${request.recovered} versions of this account came back already`);
  }
  // Version 0 is what the record held when the account was first claimed.
  const n = Math.max(1, account.nextVersion);
  const version = {
    account: account.account,
    n,
    job: request.job,
    rev: request.rev,
    state: 'recovered',
    atMs: Math.min(nowMs, request.atMs),
  } as const;
  return {
    ok: true,
    rows: { account: { ...account, nextVersion: n + 1 }, versions: [version, ...versions] },
    answer: { version: n },
  };
}
