import type { ApplyOutcome } from '@sallyport/rotation';

/**
 * The conversation with `passwd` on a terminal, one step at a time. It asks for the old password and compares it again
 * under the lock of the password file (pam_unix), which makes the change a compare-and-set.
 *
 * `asked`: what was answered last. After `new`, another question for a new password means that the first was refused.
 */
export type DialogueState = 'start' | 'current' | 'new' | 'again';

export type DialogueStep =
  | { readonly do: 'wait' }
  | { readonly do: 'answer'; readonly with: 'old' | 'new'; readonly state: DialogueState }
  | { readonly do: 'stop'; readonly outcome: ApplyOutcome };

const question = /[^\n]*password[^\n]*:\s*$/i;
const asksAgain = /re-?(?:type|enter)|again|confirm/i;
const asksOld = /current|old|\(current\)/i;

/** The server's own reason, for the operator: the last line that is not a question. */
function reasonIn(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !question.test(line));
  return lines.find((line) => /bad password|must|too |already|unchanged|wait/i.test(line)) ?? lines.at(-1) ?? '';
}

/** @param text - what came since the last answer, `\r` removed. */
export function stepDialogue(state: DialogueState, text: string): DialogueStep {
  if (!question.test(text)) return { do: 'wait' };
  const asked = question.exec(text)?.[0] ?? '';
  switch (state) {
    case 'start':
      if (asksOld.test(asked)) return { do: 'answer', with: 'old', state: 'current' };
      return {
        do: 'stop',
        outcome: { kind: 'denied', message: 'passwd does not ask this account for its old password' },
      };
    case 'current':
      if (asksAgain.test(asked) || asksOld.test(asked)) return unclear();
      return { do: 'answer', with: 'new', state: 'new' };
    case 'new':
      if (asksAgain.test(asked)) return { do: 'answer', with: 'new', state: 'again' };
      return { do: 'stop', outcome: { kind: 'policy', message: reasonIn(text) || 'the new password was refused' } };
    case 'again':
      return { do: 'stop', outcome: { kind: 'policy', message: reasonIn(text) || 'the new password was refused' } };
    default:
      return state satisfies never;
  }
}

const unclear = (): DialogueStep => ({
  do: 'stop',
  outcome: { kind: 'unknown', message: 'passwd asks something unexpected' },
});

const policyWords =
  /bad password|too (?:short|simple|similar|many)|already used|choose a longer|dictionary|palindrome/i;
const waitWords = /wait longer/i;
const unchangedWords = /unchanged|manipulation error|authentication failure|lock busy|permission denied|read-only/i;

/** How it ended. @param text - what came since the last answer. */
export function judgeEnd(state: DialogueState, code: number | null, text: string): ApplyOutcome {
  const message = reasonIn(text);
  if (code === 0 && state === 'again') return { kind: 'applied' };
  if (code === null || code === 124 || code === 137)
    return { kind: 'unknown', message: 'passwd did not end by itself' };
  if (waitWords.test(text)) return { kind: 'denied', message };
  if (policyWords.test(text)) return { kind: 'policy', message };
  if (code === 127 || state === 'start') return { kind: 'denied', message: message || 'passwd could not be run' };
  if (!unchangedWords.test(text)) return { kind: 'unknown', message: message || `passwd ended with code ${code}` };
  if (/lock busy|permission denied|read-only/i.test(text)) return { kind: 'denied', message };
  return { kind: 'fenced', message: 'the account has another password than the change named' };
}
