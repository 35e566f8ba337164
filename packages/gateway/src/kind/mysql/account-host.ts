import { createHash } from 'node:crypto';
import type { KindAccount } from '@sallyport/rotation';

/** Two accounts of one name are two: who logs in is told apart by where from. */
export interface AccountHost {
  readonly user: string;
  /** In lower case, as servers compare it; `%` where the record names none. */
  readonly host: string;
}

/** Names, addresses with a mask, and the wildcards of a host part. */
const hostPart = /^[A-Za-z0-9._%:/-]{1,255}$/;

/** `app@10.0.0.%` names its host part, `app` means `app@%`. The last `@` separates: names may have one of their own. */
export function accountHost({ login }: Pick<KindAccount, 'login'>): AccountHost {
  const at = login.lastIndexOf('@');
  const host = login.slice(at + 1);
  if (at < 0 || !hostPart.test(host)) return { user: login, host: '%' };
  return { user: login.slice(0, at), host: host.toLowerCase() };
}

export const showAccount = ({ user, host }: AccountHost): string => `${user}@${host}`;

/** A name for a lock of the server's, at most 64 characters. */
export function lockName(account: AccountHost): string {
  return `sallyport:${createHash('sha256').update(showAccount(account)).digest('hex').slice(0, 48)}`;
}
