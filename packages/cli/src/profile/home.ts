import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { makePrivateFolder, readText, writeWhole } from './file-store.ts';

/**
 * `$SALLYPORT_HOME` (default ~/.sallyport): `current` names the profile commands use when none is given, `pam.json` holds
 * defaults of flags (`profile`, `format`), `profiles/NAME/` is one profile.
 */
export function homeFolder(env: Readonly<Record<string, string | undefined>>): string {
  const asked = env['SALLYPORT_HOME'];
  return asked === undefined || asked === '' ? join(homedir(), '.sallyport') : resolve(asked);
}

const namePattern = /^[A-Za-z0-9][\w.-]{0,63}$/;

/** PAM_USAGE unless `name` can name a profile. */
export function checkProfileName(name: string): string {
  if (namePattern.test(name)) return name;
  throw new PamError('PAM_USAGE', `“${name}” cannot name a profile`, {
    remedy: 'Use 1 to 64 letters, digits, dots, dashes and underscores; the first is a letter or digit.',
  });
}

export function profileFolder(home: string, name: string): string {
  return join(home, 'profiles', checkProfileName(name));
}

/** Names of the profiles, sorted. A link to a folder elsewhere is one too: npm start makes such a profile. */
export async function profileNames(home: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(join(home, 'profiles'), { withFileTypes: true });
    return entries
      .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && namePattern.test(entry.name))
      .map((entry) => entry.name)
      .sort();
  } catch (reason) {
    if (reason instanceof Error && 'code' in reason && reason.code === 'ENOENT') return [];
    throw PamError.from(reason, 'PAM_CONFIG_INVALID', `${home}/profiles cannot be read`);
  }
}

/** Name of the current profile, or null. */
export async function currentProfile(home: string): Promise<string | null> {
  const text = (await readText(join(home, 'current'), 256))?.trim() ?? '';
  return namePattern.test(text) ? text : null;
}

export async function setCurrentProfile(home: string, name: string): Promise<void> {
  await makePrivateFolder(home);
  await writeWhole(join(home, 'current'), `${checkProfileName(name)}\n`);
}
