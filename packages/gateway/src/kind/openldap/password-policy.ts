import { numberOf, readElement } from '../ldap/ber.ts';
import type { LdapResult } from '../ldap/ldap-answer.ts';
import type { LdapControl } from '../ldap/ldap-request.ts';

/** draft-behera-ldap-password-policy-10, as the overlay ppolicy speaks it. */
const passwordPolicyOid = '1.3.6.1.4.1.42.2.27.8.5.1';

/** Asks the server to say what its password policy thinks; a server without one ignores it. */
export const askPolicy: LdapControl = { oid: passwordPolicyOid, isCritical: false, value: null };

export const policyErrors = {
  passwordExpired: 0,
  accountLocked: 1,
  changeAfterReset: 2,
  changeNotAllowed: 3,
  oldPasswordNeeded: 4,
  insufficientQuality: 5,
  tooShort: 6,
  tooYoung: 7,
  inHistory: 8,
} as const;
const errorTag = 0x81;

/** The policy's error, or null when the server told none. */
export function policyErrorOf(result: LdapResult): number | null {
  const value = result.controls.get(passwordPolicyOid);
  const read = value === undefined ? null : readElement(value);
  if (read?.kind !== 'element') return null;
  return numberOf(read.element.parts.find(({ tag }) => tag === errorTag));
}
