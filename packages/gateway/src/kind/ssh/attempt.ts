import type { Credential, NotOpened } from '@sallyport/rotation';
import type { AnyAuthMethod, KeyboardInteractiveCallback, Prompt } from 'ssh2';

/** What was answered so far. `unsaid`: no credential went out yet. `sent`: one did, and the server has not judged it. */
type Verdict = { readonly kind: 'unsaid' } | { readonly kind: 'sent' } | NotOpened;

/**
 * One attempt to log in with one credential: the target may count them and lock the account.
 *
 * A password first asks which methods there are (`none`, which OpenSSH does not count), then is shown once: by the
 * method `password` if the server has it, else by `keyboard-interactive`, where it answers the first question and no other.
 */
export interface Attempt {
  /** What to try next; false: nothing more. Called by the client at the start and after every refusal. */
  next(methods: readonly string[] | null, isPartial: boolean | null): AnyAuthMethod | false;
  /** Text shown by the server at the login; says why where a plain refusal does not. */
  heard(text: string): void;
  /** The server wants a new password before it lets anybody in. */
  askedForNewPassword(): void;
  verdict(): Verdict;
}

/** A server that talks without an end is not listened to for ever. */
const maxHeardChars = 4_096;
const maxQuestions = 8;

const expiredWords = /(?:account|password|token) (?:has|is) expired|password expired|change your password/i;
const lockedWords = /account (?:is|has been) (?:temporarily )?locked|locked due to/i;

/** What the server's own words say about the account, or null. Used only where the login did not open. */
export function accountState(text: string): NotOpened | null {
  if (expiredWords.test(text)) return { kind: 'expired', message: 'the account or its password has expired' };
  if (lockedWords.test(text)) return { kind: 'locked', message: 'the account is locked' };
  return null;
}

export function newAttempt(username: string, credential: Credential): Attempt {
  let verdict: Verdict = { kind: 'unsaid' };
  let tried: string | null = null;
  let heard = '';
  let questions = 0;

  const answer = (prompts: readonly Prompt[], finish: KeyboardInteractiveCallback, password: string): void => {
    questions += 1;
    const asked = prompts.map(({ prompt }) => prompt).join(' ');
    if (prompts.length === 0 && questions <= maxQuestions) return finish([]);
    if (prompts.length === 1 && prompts[0]?.echo === false && verdict.kind === 'unsaid') {
      verdict = { kind: 'sent' };
      return finish([password]);
    }
    // A second question is either the same one again (refused), a new password (expired) or another factor.
    if (verdict.kind === 'sent' || verdict.kind === 'unsaid') verdict = judgeQuestion(asked, verdict.kind);
    finish(prompts.map(() => ''));
  };

  const refused = (methods: readonly string[], isPartial: boolean): NotOpened => {
    if (isPartial) return { kind: 'unknown', message: 'the server asks for a further factor after this credential' };
    const state = accountState(heard);
    if (state !== null) return state;
    // A method that is not offered was refused unseen.
    if (tried === 'publickey' && !methods.includes('publickey'))
      return { kind: 'unknown', message: 'the server takes no keys for this account' };
    return { kind: 'refused', message: 'the server refused the credential' };
  };

  /** What is said before the credential goes out is said to everybody. */
  const hear = (text: string): void => {
    if (verdict.kind === 'sent') heard = (heard + text).slice(0, maxHeardChars);
  };

  return {
    next(methods, isPartial) {
      if (verdict.kind !== 'unsaid' && verdict.kind !== 'sent') return false;
      if (tried !== null) {
        if (tried !== 'none' || methods === null) {
          verdict = refused(methods ?? [], isPartial === true);
          return false;
        }
        if (credential.kind !== 'password') return false;
        const password = credential.password.reveal();
        if (methods.includes('password')) {
          tried = 'password';
          verdict = { kind: 'sent' };
          return { type: 'password', username, password };
        }
        if (methods.includes('keyboard-interactive')) {
          tried = 'keyboard-interactive';
          return {
            type: 'keyboard-interactive',
            username,
            prompt: (_name, instructions, _lang, prompts, finish) => {
              hear(instructions);
              answer(prompts, finish, password);
            },
          };
        }
        verdict = { kind: 'unknown', message: 'the server takes no passwords' };
        return false;
      }
      if (credential.kind === 'password') {
        tried = 'none';
        return { type: 'none', username };
      }
      tried = 'publickey';
      verdict = { kind: 'sent' };
      const passphrase = credential.passphrase?.reveal();
      const key = credential.privateKey.reveal();
      return { type: 'publickey', username, key, ...(passphrase === undefined ? {} : { passphrase }) };
    },
    heard: hear,
    askedForNewPassword() {
      verdict = { kind: 'expired', message: 'the server asks for a new password' };
    },
    verdict() {
      if (verdict.kind !== 'sent') return verdict;
      return accountState(heard) ?? verdict;
    },
  };
}

function judgeQuestion(asked: string, before: 'sent' | 'unsaid'): NotOpened {
  if (before === 'unsaid') return { kind: 'unknown', message: 'the server asks for more than a password' };
  if (/new .*password|current .*password/i.test(asked))
    return { kind: 'expired', message: 'the server asks for a new password' };
  if (/password/i.test(asked)) return { kind: 'refused', message: 'the server refused the credential' };
  return { kind: 'unknown', message: 'the server asks for a further factor after this credential' };
}
