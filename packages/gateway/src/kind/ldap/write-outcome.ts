import type { ApplyOutcome, Secret } from '@sallyport/rotation';
import { type LdapResult, resultCodes } from './ldap-answer.ts';
import type { LdapReply } from './ldap-connection.ts';
import { showText } from './show-text.ts';

/** Answers after which nothing was changed and another secret would not help (RFC 4511 appendix A.2). */
const denials: ReadonlyMap<number, string> = new Map([
  [8, 'the directory wants a stronger login'],
  [resultCodes.referral, 'the server does not write here and refers to another, which is never followed'],
  [11, 'an administrative limit of the directory was reached'],
  [resultCodes.unavailableExtension, 'the directory does not know the assertion control (RFC 4528)'],
  [13, 'the directory wants a confidential connection'],
  [resultCodes.noSuchAttribute, 'the value to replace is not there'],
  [resultCodes.undefinedAttribute, 'the directory does not know the attribute'],
  [resultCodes.valueExists, 'the attribute that should hold the send number is in use'],
  [resultCodes.invalidSyntax, 'the attribute does not take such a value'],
  [resultCodes.noSuchObject, 'there is no such account'],
  [resultCodes.invalidName, 'the distinguished name is malformed'],
  [resultCodes.insufficientAccess, 'the login has no right to change the password'],
  [resultCodes.unwilling, 'the directory is unwilling'],
  [resultCodes.classViolation, 'the account may not have the attribute that should hold the send number'],
]);

/** How the result of a Modify reads where a directory has no words of its own for it. */
export function readWrite(result: LdapResult, secrets: readonly Secret[]): ApplyOutcome {
  if (result.code === resultCodes.success) return { kind: 'applied' };
  const said = showText(result.text, secrets);
  const words = said === '' ? '' : `: ${said}`;
  if (result.code === resultCodes.constraintViolation)
    return { kind: 'policy', message: `the directory refuses this password${words}` };
  if (result.code === resultCodes.assertionFailed)
    return { kind: 'fenced', message: 'the account was changed meanwhile' };
  const denial = denials.get(result.code);
  if (denial !== undefined) return { kind: 'denied', message: `${denial}${words}` };
  return { kind: 'unknown', message: `the directory answered ${result.code}${words}` };
}

export const lostWrite = (reply: Extract<LdapReply, { kind: 'lost' }>): ApplyOutcome => ({
  kind: 'unknown',
  message: reply.why,
});
