import { type Later, requireLinuxHost, requireTarget, type TargetPresence, whyNoPostgres } from '@sallyport/testkit';
import type { AccountLab } from '../accounts/account-lab.ts';
import { startActiveDirectoryAccounts, startOpenldapAccounts } from '../accounts/directory-accounts.ts';
import { startKeyAccounts, startLinuxAccounts } from '../accounts/linux-accounts.ts';
import { startMariaDbAccounts } from '../accounts/mariadb-accounts.ts';
import { startPostgresAccounts } from '../accounts/postgres-accounts.ts';
import { startRedisAccounts } from '../accounts/redis-accounts.ts';

interface KindOfLab {
  /** Why it cannot be had here; null when it can. */
  readonly whyNot: () => Promise<string | null>;
  readonly start: (later: Later) => Promise<AccountLab>;
}

const whyNot = (look: () => TargetPresence | Promise<TargetPresence>) => async (): Promise<string | null> => {
  const presence = await look();
  return presence.isMissing ? presence.reason : null;
};
const whyNoLinux = whyNot(() => requireLinuxHost());

/** Servers whose accounts are rotated under faults, by kind. */
export const accountLabs: Readonly<Record<string, KindOfLab>> = {
  postgresql: { whyNot: whyNoPostgres, start: startPostgresAccounts },
  mysql: { whyNot: whyNot(() => requireTarget('mariadb')), start: startMariaDbAccounts },
  redis: { whyNot: whyNot(() => requireTarget('redis')), start: startRedisAccounts },
  openldap: { whyNot: whyNot(() => requireTarget('slapd')), start: startOpenldapAccounts },
  'active-directory': { whyNot: whyNot(() => requireTarget('samba')), start: startActiveDirectoryAccounts },
  'linux-password': { whyNot: whyNoLinux, start: startLinuxAccounts },
  'ssh-key': { whyNot: whyNoLinux, start: startKeyAccounts },
};
