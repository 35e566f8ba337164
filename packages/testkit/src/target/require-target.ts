import { missingTargets, targetPrograms } from '../target-list.ts';

/** Whether tests of a target can run here; `test.skipIf(target.isMissing)` is how a test asks. */
export interface TargetPresence {
  readonly isMissing: boolean;
  /** One line for the reader of a skipped test; empty when the target is there. */
  readonly reason: string;
}

/**
 * Looks for a program of `debian-packages.json`.
 *
 * @throws when the list has no such target, and with `CI=true` when it is missing: there a skip would hide a failure.
 */
export function requireTarget(name: string, env: NodeJS.ProcessEnv = process.env): TargetPresence {
  if (!targetPrograms.some((target) => target.name === name))
    throw new Error(`no target ${name} in debian-packages.json`);
  const missing = missingTargets().find((target) => target.name === name);
  if (!missing) return { isMissing: false, reason: '' };
  const reason = `${name}: ${missing.probe} is missing (Debian: ${missing.packages.join(' ')})`;
  if (env['CI'] === 'true') throw new Error(`${reason}; with CI=true every target must be there`);
  return { isMissing: true, reason };
}
