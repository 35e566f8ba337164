import { serverWords } from '@sallyport/kind-support';
import type { NotOpened } from '@sallyport/rotation';
import type { ServerError } from './mysql-connection.ts';

/** Numbers that both servers share, and where they differ MySQL's first. */
const accessDenied = 1045;
const lockedOut = new Set([
  3118, // MySQL: ACCOUNT LOCK
  3955, // MySQL: FAILED_LOGIN_ATTEMPTS
  4150, // MariaDB: max_password_errors
  4151, // MariaDB: ACCOUNT LOCK
]);
const mustChange = new Set([1820, 1862]);

/** What the server's refusal of a login says about the credential. Only 1045 says that it is wrong. */
export function loginAnswer({ code, message }: ServerError): NotOpened {
  const words = `${code} ${serverWords(message, [])}`;
  if (code === accessDenied) return { kind: 'refused', message: 'the server refused the password' };
  if (lockedOut.has(code)) return { kind: 'locked', message: words };
  if (mustChange.has(code)) return { kind: 'expired', message: words };
  return { kind: 'unknown', message: words };
}
