import { timeCell } from '../terminal/show.ts';

/** An older credential that could not be removed, in words; `retireWith` is the command that tries at once. */
export function leftoverText({
  tries,
  nextTryMs,
}: {
  readonly tries: number;
  readonly nextTryMs: number | null;
}): string {
  const tried = tries === 0 ? '' : `, tried ${tries === 1 ? 'once' : `${tries} times`} since`;
  const next = nextTryMs === null ? 'not tried again by itself' : `next try ${timeCell(nextTryMs)}`;
  return `an older credential still opens the account${tried}; ${next}`;
}

export const retireWith = (uid: string): string => `pam action retire -r ${uid} --wait`;
