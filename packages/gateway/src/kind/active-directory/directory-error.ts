import type { ApplyOutcome, NotOpened, Secret } from '@sallyport/rotation';
import { type LdapResult, resultCodes } from '../ldap/ldap-answer.ts';
import { showText } from '../ldap/show-text.ts';
import { readWrite } from '../ldap/write-outcome.ts';

/**
 * Active Directory puts the Windows error into the text, and nowhere else: `80090308: LdapErr: DSID-…, comment:
 * AcceptSecurityContext error, data 52e, v4563` for a login, `0000052D: SvcErr: …` for a write. [MS-ADTS] 3.1.1.3.1.5,
 * [MS-ERREF] 2.2. The numbers are part of the protocol in all but name; the words are not looked at.
 */
const loginData = /\bdata ([0-9a-f]{1,8})\b/i;
const writeError = /^([0-9a-f]{8}):/i;

/** Only `52e` and `525` say that the credential is wrong. The others are told to who gave the right one. */
const logins: ReadonlyMap<number, NotOpened> = new Map<number, NotOpened>([
  [0x525, { kind: 'refused', message: 'there is no such account' }],
  [0x52e, { kind: 'refused', message: 'the directory refuses the name or the password' }],
  [0x530, { kind: 'locked', message: 'the account may not log in at this hour' }],
  [0x531, { kind: 'locked', message: 'the account may not log in from this machine' }],
  [0x532, { kind: 'expired', message: 'the password is expired' }],
  [0x533, { kind: 'locked', message: 'the account is disabled' }],
  [0x701, { kind: 'locked', message: 'the account is expired' }],
  [0x773, { kind: 'expired', message: 'the password must be changed at the next login' }],
  [0x775, { kind: 'locked', message: 'the account is locked out' }],
]);

const passwordRestriction = 0x52d;
const wrongPassword = 0x56;
const accessDenied = 0x5;

const numberIn = (pattern: RegExp, text: string): number | null => {
  const match = pattern.exec(text);
  return match === null ? null : Number.parseInt(match[1] ?? '', 16);
};

/** Null: the login opened. */
export function readLogin(result: LdapResult, secrets: readonly Secret[]): NotOpened | null {
  if (result.code === resultCodes.success) return null;
  const said = `the directory answered ${result.code} to the login: ${showText(result.text, secrets)}`;
  if (result.code !== resultCodes.invalidCredentials) return { kind: 'unknown', message: said };
  const data = numberIn(loginData, result.text);
  return logins.get(data ?? -1) ?? { kind: 'unknown', message: said };
}

/** How a Modify of `unicodePwd` ended; `namedOld`: it was a change, which names the old password. */
export function readReset(result: LdapResult, namedOld: boolean, secrets: readonly Secret[]): ApplyOutcome {
  const outcome = readWrite(result, secrets);
  if (outcome.kind === 'applied') return outcome;
  switch (numberIn(writeError, result.text)) {
    case passwordRestriction:
      return { kind: 'policy', message: 'the domain refuses this password: length, complexity, history or age' };
    case wrongPassword:
      return namedOld
        ? { kind: 'fenced', message: 'the account has another password than the one named as old' }
        : { kind: 'denied', message: outcome.message };
    case accessDenied:
      return { kind: 'denied', message: 'the login has no right to change the password' };
    default:
      return outcome;
  }
}
