import { existsSync, readFileSync } from 'node:fs';

/** A real program that tests use as a target, as Debian ships it. `scripts/bootstrap.mjs --tests` installs it. */
export interface TargetProgram {
  readonly name: string;
  /** Absolute path that exists when the program is installed. */
  readonly probe: string;
  readonly packages: readonly string[];
}

const list = JSON.parse(readFileSync(new URL('../debian-packages.json', import.meta.url), 'utf8')) as {
  readonly release: string;
  readonly targets: readonly TargetProgram[];
};

/** Every target on the list, installed or not. */
export const targetPrograms: readonly TargetProgram[] = list.targets;

/** The targets of the list that this machine lacks. */
export function missingTargets(): readonly TargetProgram[] {
  return list.targets.filter(({ probe }) => !existsSync(probe));
}
