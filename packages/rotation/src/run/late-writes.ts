import type { Fence } from '../kind/target-kind.ts';

/**
 * Whether an account is checked again after a run: nothing at the target keeps one of its writes from coming late.
 *
 * @param described - what every login of this kind holds at least.
 * @param before - writes that were permitted to holders before this one: with which login, nobody knows.
 * @param held - what the login held, for each write that was permitted to this one.
 */
export function needsRechecks(described: Fence, before: number, held: readonly Fence[]): boolean {
  if (described !== 'none') return false;
  return before > 0 || held.includes('none');
}
