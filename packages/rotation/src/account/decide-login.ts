import type { ProbeOutcome } from '../kind/target-kind.ts';
import type { AccountRow, LoginRow } from './rows.ts';
import { probeBudget } from './rows.ts';

export interface LoginRows {
  readonly account: Pick<AccountRow, 'account'>;
  readonly logins: readonly LoginRow[];
}

/**
 * R6: a login with a credential that may be wrong is taken before it is tried and returned when it cost nothing
 * ({@link staysTaken}). One that was never returned counts as refused, whoever took it.
 *
 * @returns `inMs`: when there is one more, if it was not granted.
 */
export function decideLogin(
  rows: LoginRows,
  request: { readonly id: string; readonly act: 'take' | 'return' },
  nowMs: number,
): { readonly rows: LoginRows; readonly granted: boolean; readonly inMs: number } {
  const known = rows.logins.find((login) => login.id === request.id);
  if (request.act === 'return') {
    const logins = rows.logins.map((login) => (login === known ? { ...login, state: 'returned' as const } : login));
    return { rows: { ...rows, logins }, granted: true, inMs: 0 };
  }
  if (known !== undefined) return { rows, granted: true, inMs: 0 };
  const spent = rows.logins
    .filter((login) => login.state === 'taken' && login.atMs > nowMs - probeBudget.windowMs)
    .sort((a, b) => a.atMs - b.atMs);
  const [oldest] = spent;
  if (spent.length >= probeBudget.refusals && oldest !== undefined) {
    return { rows, granted: false, inMs: Math.max(0, oldest.atMs + probeBudget.windowMs - nowMs) };
  }
  const taken = { account: rows.account.account, id: request.id, atMs: nowMs, state: 'taken' } as const;
  return { rows: { ...rows, logins: [...rows.logins, taken] }, granted: true, inMs: 0 };
}

/**
 * Whether a login that was taken counts as refused: not when it opened, nor when the server was shown no credential. Else a
 * target that is away would empty the budget, and what it came back to would be a job that waits for half an hour.
 */
export function staysTaken(said: ProbeOutcome['kind']): boolean {
  return said !== 'opens' && said !== 'unreachable';
}
