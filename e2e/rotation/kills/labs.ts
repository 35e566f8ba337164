import { type Later, requireTarget, whyNoPostgres } from '@sallyport/testkit';
import type { AccountLab } from '../accounts/account-lab.ts';
import { startMariaDbAccounts } from '../accounts/mariadb-accounts.ts';
import { startPostgresAccounts } from '../accounts/postgres-accounts.ts';

interface KindOfLab {
  /** Why it cannot be had here; null when it can. */
  readonly whyNot: () => Promise<string | null>;
  readonly start: (later: Later) => Promise<AccountLab>;
}

const whyNoMariaDb = (): Promise<string | null> => Promise.resolve(requireTarget('mariadb').reason || null);

/** Servers whose accounts are rotated under faults, by kind. */
export const accountLabs: Readonly<Record<string, KindOfLab>> = {
  postgresql: { whyNot: whyNoPostgres, start: startPostgresAccounts },
  mysql: { whyNot: whyNoMariaDb, start: startMariaDbAccounts },
};
