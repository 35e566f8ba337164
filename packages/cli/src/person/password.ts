import { PamError } from '@sallyport/protocol';
import type { Terminal } from '../terminal/terminal.ts';

/** Characters a new password needs at least; with the account secret beside it, length beyond this matters little. */
const shortest = 8;
const longest = 1_024;

/** The first line of standard input. PAM_USAGE when it is empty. */
export async function passwordFromInput(terminal: Terminal): Promise<string> {
  const [line = ''] = (await terminal.readInput(65_536)).split(/\r?\n/, 1);
  if (line === '') throw new PamError('PAM_USAGE', '--password-stdin was given, but standard input holds no password');
  if (line.length > longest) throw new PamError('PAM_TOO_LARGE', `the password is over ${longest} characters`);
  return line;
}

/** Asks for the password of an existing account. */
export async function askPassword(terminal: Terminal, fromInput: boolean): Promise<string> {
  if (fromInput) return passwordFromInput(terminal);
  requireTerminal(terminal);
  return terminal.askSecret('Password');
}

/** Asks for a new password, twice. PAM_USAGE when it is too short or the two differ. */
export async function askNewPassword(terminal: Terminal, fromInput: boolean): Promise<string> {
  if (!fromInput) requireTerminal(terminal);
  const password = fromInput ? await passwordFromInput(terminal) : await terminal.askSecret('New password');
  if (password.length < shortest) throw new PamError('PAM_USAGE', `the password needs at least ${shortest} characters`);
  if (!fromInput && (await terminal.askSecret('The same again')) !== password) {
    throw new PamError('PAM_USAGE', 'the two passwords differ');
  }
  return password;
}

function requireTerminal(terminal: Terminal): void {
  if (terminal.interactive) return;
  throw new PamError('PAM_USAGE', 'there is no terminal to ask for the password on', {
    remedy: 'Give it on standard input with --password-stdin; never as an argument.',
  });
}
