import type { Format } from './terminal/show.ts';
import type { Terminal } from './terminal/terminal.ts';
import type { Clock } from './time/clock.ts';

/** What every command is given: the world outside it. */
export interface Cli {
  readonly terminal: Terminal;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder of all profiles, absolute. */
  readonly home: string;
  /** `--profile` or SALLYPORT_PROFILE; undefined means the current one. */
  readonly profileName: string | undefined;
  /** `--proxy`, SALLYPORT_PROXY or pam.json, as given: it may hold a password. */
  readonly proxy: string | undefined;
  /** `--carrier`, SALLYPORT_CARRIER or pam.json, as given. */
  readonly carrier: string | undefined;
  readonly format: Format;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
}

/** A command: returns the exit code when it is not 0. */
export type Run = (cli: Cli, args: readonly string[], flags: unknown) => Promise<number | undefined>;
