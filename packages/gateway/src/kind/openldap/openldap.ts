import type { KindTarget, TargetKind } from '@sallyport/rotation';
import { directoryLogins } from '../ldap/directory-kind.ts';
import { canonicalName } from '../ldap/distinguished-name.ts';
import { openldapSession } from './openldap-session.ts';
import { entryName, openldapLogin } from './read-login.ts';

/** Accounts of OpenLDAP: entries with a `userPassword`. @see docs/rotation-targets.md, ADR 0016. */
export const openldap: TargetKind = {
  description: {
    name: 'openldap',
    title: 'OpenLDAP',
    fence: { admin: 'number', own: 'compare' },
    changes: 'password',
    triedAgainst: 'OpenLDAP 2.5.13',
    untried: null,
    ownCaveat: 'Locked, expired or with a password that nobody has: only a login that may write userPassword helps.',
  },
  serves: (target: KindTarget) => target.recordType === 'pamDirectory' && target.directoryType === 'openldap',
  limits: () => ({ minLength: 8, maxLength: 256, forbidden: '\u0000', significant: null }),
  ...directoryLogins(openldapLogin, openldapSession),
  accountName: (account) => canonicalName(entryName(account) ?? account.login),
};
