import type { ApplyOutcome } from '@sallyport/rotation';
import { ownErrors } from './write-text.ts';

/** History, too short, too long, not complex enough, refused by a filter: another password may be taken. */
const policy = new Set([15_115, 15_116, 15_117, 15_118, 15_119]);

/** "Cannot alter the login, because it does not exist or you do not have permission." */
const notAllowed = 15_151;
const wrongPassword = 18_456;

/**
 * Nothing was changed, and another password would not help: no table of ours, no permission, a read-only database, an
 * account that is locked, a password that is too young.
 */
const denied = new Set([208, 229, 230, 262, 297, 916, 3_906, 15_113, 15_114, notAllowed, 15_247, ownErrors.absent]);

/**
 * What the numbers of the errors that ended a write say. What is not listed (a lock that was waited for too long, a
 * deadlock) does not say enough.
 *
 * @param isOwn - the login changes itself: it always may, so what looks like a missing permission is a wrong old password.
 * @param message - the server's words, without secrets.
 * @see Microsoft, "Database engine errors 15000 to 15999".
 */
export function writeOutcome(numbers: readonly number[], isOwn: boolean, message: string): ApplyOutcome {
  const has = (wanted: ReadonlySet<number>): boolean => numbers.some((number) => wanted.has(number));
  if (numbers.includes(ownErrors.fenced))
    return { kind: 'fenced', message: 'the login has seen this send or a higher one' };
  if (has(policy)) return { kind: 'policy', message };
  if (isOwn && has(new Set([notAllowed, wrongPassword])))
    return { kind: 'fenced', message: 'the login has another old password by now' };
  if (has(denied)) return { kind: 'denied', message };
  return { kind: 'unknown', message };
}
