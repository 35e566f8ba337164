import type { KindAccount, KindTarget, NotOpened, Secret } from '@sallyport/rotation';
import type { LoginDialect } from '../ldap/directory-login.ts';
import { type LdapResult, resultCodes } from '../ldap/ldap-answer.ts';
import { showText } from '../ldap/show-text.ts';
import { askPolicy, policyErrorOf, policyErrors } from './password-policy.ts';

/** Entries of OpenLDAP are named by their distinguished name alone: the record's, or a login that is one. */
export function entryName(account: KindAccount): string | null {
  if (account.distinguishedName !== null && account.distinguishedName !== '') return account.distinguishedName;
  return account.login.includes('=') ? account.login : null;
}

function readLogin(result: LdapResult, secrets: readonly Secret[]): NotOpened | null {
  if (result.code === resultCodes.success) return null;
  const said = showText(result.text, secrets);
  switch (policyErrorOf(result)) {
    case policyErrors.accountLocked:
      return { kind: 'locked', message: 'the account is locked by the password policy' };
    case policyErrors.passwordExpired:
      return { kind: 'expired', message: 'the password is expired' };
    default:
      break;
  }
  if (result.code === resultCodes.invalidCredentials)
    return { kind: 'refused', message: 'the directory refuses the name or the password' };
  return { kind: 'unknown', message: `the directory answered ${result.code} to the login: ${said}` };
}

export const openldapLogin: LoginDialect = {
  bindName: (_target: KindTarget, account) => entryName(account),
  controls: [askPolicy],
  readLogin,
};
