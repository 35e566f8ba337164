import { refusal } from '../refuse.ts';
import { accountSecretSpelling, newSpelled, recoveryCodeSpelling, type Unspelled, unspell } from './spelling.ts';

/** A fresh account secret: 128 bits as 7 groups of 4 symbols. It is never sent; without it a password opens nothing. */
export function newAccountSecret(): Promise<string> {
  return newSpelled(accountSecretSpelling);
}

/** A fresh recovery code: 160 bits as 9 groups of 4 symbols; opens the person's keys once, then a new one is made. */
export function newRecoveryCode(): Promise<string> {
  return newSpelled(recoveryCodeSpelling);
}

const problems = {
  length: 'is too short or too long: copy it whole',
  symbol: 'has a character that none of ours has',
  mistyped: 'is mistyped: one or more characters are wrong',
} as const;

type Read = Extract<Unspelled, { kind: 'read' }>;

export async function readAccountSecret(text: string): Promise<Read> {
  const read = await unspell(text, accountSecretSpelling);
  if (read.kind === 'read') return read;
  throw refusal('PAM_ACCOUNT_SECRET_WRONG', read.why, `The account secret ${problems[read.why]}.`);
}

export async function readRecoveryCode(text: string): Promise<Read> {
  const read = await unspell(text, recoveryCodeSpelling);
  if (read.kind === 'read') return read;
  throw refusal('PAM_RECOVERY_FAILED', read.why, `The recovery code ${problems[read.why]}.`);
}

/** Canonical text of an account secret. @throws PAM_ACCOUNT_SECRET_WRONG with why: length, symbol, mistyped. */
export async function parseAccountSecret(text: string): Promise<string> {
  return (await readAccountSecret(text)).text;
}

/** Canonical text of a recovery code. @throws PAM_RECOVERY_FAILED with why: length, symbol, mistyped. */
export async function parseRecoveryCode(text: string): Promise<string> {
  return (await readRecoveryCode(text)).text;
}
