/**
 * What a command may do with the person at the other end: data goes to `out`, everything else to `err`.
 *
 * Questions are asked on standard error, so that standard output stays data even in interactive commands.
 */
export interface Terminal {
  /** Somebody can answer: standard input and standard error are terminals. */
  readonly interactive: boolean;
  /** Standard error is a terminal: a spinner may be drawn. */
  readonly animated: boolean;
  /** Lines of the terminal that standard output is; null when it is none. Read anew each time: windows change. */
  screenRows(): number | null;
  out(text: string): void;
  err(text: string): void;
  /** Shows what is typed. PAM_INTERRUPTED on Ctrl-C. */
  ask(question: string): Promise<string>;
  /** Hides what is typed. */
  askSecret(question: string): Promise<string>;
  confirm(question: string): Promise<boolean>;
  /** Standard input to its end as UTF-8; PAM_TOO_LARGE over `limitBytes`. Read once, then remembered. */
  readInput(limitBytes: number): Promise<string>;
}

const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Takes out control and bidirectional characters: text from elsewhere must not steer the terminal. */
export function plain(text: string): string {
  return text.replace(control, '\uFFFD');
}
