/** Of each output of a script, in characters. */
export const maxOutputChars = 65_536;

/** `unknown`: it was begun, and nobody heard how it ended. `skipped`: it was not begun, because of something before it. */
export type AfterOutcome = 'done' | 'failed' | 'unknown' | 'skipped';

export interface ScriptEnd {
  readonly result: AfterOutcome;
  /** Null: it was ended by `signal` or at its limit, or never started. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
  readonly ms: number;
  /** Both outputs, one after the other, without any secret. */
  readonly output: string;
}
