import type { KindTarget, TargetKind } from '@sallyport/rotation';
import { directoryLogins } from '../ldap/directory-kind.ts';
import { accountName } from './account-names.ts';
import { activeDirectorySession } from './active-directory-session.ts';
import { activeDirectoryLogin } from './login-dialect.ts';

/** Accounts of a Windows domain, over LDAP. @see docs/rotation-targets.md, ADR 0016. */
export const activeDirectory: TargetKind = {
  description: {
    name: 'active-directory',
    title: 'Active Directory',
    // The least: `number` where the login may write the attribute that holds the send number (`fence`).
    fence: { admin: 'none', own: 'compare' },
    changes: 'password',
    triedAgainst: 'Samba AD DC 4.17.12',
    untried: null,
    ownCaveat: 'Locked, expired or with a password that nobody has: only a login that may reset passwords helps.',
  },
  serves: (target: KindTarget) => target.recordType === 'pamDirectory' && target.directoryType === 'active_directory',
  // Windows takes 127 characters where people type them, and 256 in all.
  limits: () => ({ minLength: 8, maxLength: 127, forbidden: '\u0000', significant: null }),
  ...directoryLogins(activeDirectoryLogin, activeDirectorySession),
  accountName,
};
