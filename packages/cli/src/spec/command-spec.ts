import type { Run } from '../cli.ts';

/** A flag: what commander reads, and one sentence. `repeat` collects values; `hidden` is understood but not shown. */
export interface FlagSpec {
  readonly flag: string;
  readonly about: string;
  readonly choices?: readonly string[];
  readonly repeat?: boolean;
  readonly required?: boolean;
  readonly hidden?: boolean;
}

/** A command of `pam`: everything its help says, and where its code is loaded from when it is called. */
export interface CommandSpec {
  readonly name: string;
  /** As commander reads them: `<record>`, `[id]`. */
  readonly args?: string;
  readonly about: string;
  /** Sentences after the flags: what is printed, what is asked, examples. */
  readonly more?: string;
  readonly alias?: string;
  readonly flags?: readonly FlagSpec[];
  /** It shows something: gets `--format`. */
  readonly shows?: boolean;
  load(): Promise<{ readonly run: Run }>;
}

export interface GroupSpec {
  readonly name: string;
  readonly about: string;
  readonly commands: readonly CommandSpec[];
}
