import type { KindAccount, KindTarget } from '@sallyport/rotation';
import { canonicalName } from '../ldap/distinguished-name.ts';
import type { LdapFilter } from '../ldap/ldap-request.ts';

/** `LAB\bob`, `bob@lab.test`, `bob` and a distinguished name: the ways a record may name an account of a domain. */
type AccountText =
  | { readonly kind: 'dn'; readonly name: string }
  | { readonly kind: 'principal'; readonly user: string; readonly suffix: string }
  | { readonly kind: 'domain'; readonly user: string; readonly domain: string }
  | { readonly kind: 'plain'; readonly user: string };

function readLoginText(login: string): AccountText {
  if (/^(cn|ou|uid|dc)=/i.test(login)) return { kind: 'dn', name: login };
  const slash = login.indexOf('\\');
  if (slash > 0) return { kind: 'domain', user: login.slice(slash + 1), domain: login.slice(0, slash) };
  const at = login.lastIndexOf('@');
  if (at > 0) return { kind: 'principal', user: login.slice(0, at), suffix: login.slice(at + 1) };
  return { kind: 'plain', user: login };
}

/** The name to log in with; a plain one needs the domain of the record. Null: there is none. */
export function bindName(target: KindTarget, account: KindAccount): string | null {
  const text = readLoginText(account.login);
  if (text.kind !== 'plain' || text.user === '') return account.login === '' ? null : account.login;
  if (target.domain !== null && target.domain !== '')
    return target.domain.includes('.') ? `${text.user}@${target.domain}` : `${target.domain}\\${text.user}`;
  return account.distinguishedName;
}

/** A domain controller holds one domain, and a user name is one account in it, whatever stands around the name. */
export function accountName(account: KindAccount): string {
  const text = readLoginText(account.login);
  return text.kind === 'dn' ? canonicalName(text.name) : text.user.normalize('NFC').toLowerCase();
}

/** Entries of the domain that the login may mean; null: its distinguished name is known. */
export function findAccount(account: KindAccount): { readonly name: string } | { readonly filter: LdapFilter } {
  if (account.distinguishedName !== null && account.distinguishedName !== '')
    return { name: account.distinguishedName };
  const text = readLoginText(account.login);
  if (text.kind === 'dn') return { name: text.name };
  const bySam: LdapFilter = { kind: 'equals', attribute: 'sAMAccountName', value: text.user };
  const byPrincipal: LdapFilter = { kind: 'equals', attribute: 'userPrincipalName', value: account.login };
  const isUser: LdapFilter = { kind: 'equals', attribute: 'objectClass', value: 'user' };
  const names: readonly LdapFilter[] = text.kind === 'principal' ? [bySam, byPrincipal] : [bySam];
  return { filter: { kind: 'and', of: [isUser, { kind: 'or', of: names }] } };
}
