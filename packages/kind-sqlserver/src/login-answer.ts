import type { NotOpened } from '@sallyport/rotation';

const wrongPassword = 18_456;

const locked: ReadonlyMap<number, string> = new Map([
  [15_113, 'too many failed logins: the account is locked for now'],
  [18_470, 'the login is disabled'],
  [18_486, 'the login is locked out'],
]);
const expired: ReadonlyMap<number, string> = new Map([
  [18_487, 'the password has expired'],
  [18_488, 'the password must be changed before it opens (MUST_CHANGE)'],
]);

const mostShown = 3;
/** A server may send any number of them. */
export function numbersText(numbers: readonly number[]): string {
  return `${numbers.slice(0, mostShown).join(', ')}${numbers.length > mostShown ? ', …' : ''}`;
}

/**
 * What the numbers of the errors that ended a login say about the credential.
 *
 * The server tells every client `18456` for a wrong password, and tells its own log alone what else it was: a login that
 * may not connect, and a server that takes Windows accounts only, look like a wrong password too. Another number beside it
 * (4060: no such database) is about that, and not about the password.
 *
 * @see Microsoft, "SQL Server Login Error Codes" and "Database engine errors 18000 to 18999".
 */
export function loginAnswer(numbers: readonly number[]): NotOpened {
  for (const number of numbers) {
    const lock = locked.get(number);
    if (lock !== undefined) return { kind: 'locked', message: lock };
    const expiry = expired.get(number);
    if (expiry !== undefined) return { kind: 'expired', message: expiry };
  }
  if (numbers.length > 0 && numbers.every((number) => number === wrongPassword))
    return { kind: 'refused', message: 'the server refused the password' };
  return { kind: 'unknown', message: `the login ended with error ${numbersText(numbers)}` };
}
