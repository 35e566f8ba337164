import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { PamError } from '@sallyport/protocol';

/** A folder only this process uses, until `release` or its death. */
export interface StateFolder {
  readonly path: string;
  release(): void;
}

const mostFolders = 1_000;

export const defaultHome = (environment: NodeJS.ProcessEnv): string =>
  resolve(environment['SALLYPORT_HOME'] ?? join(homedir(), '.sallyport'));

export const instancesFolder = (home: string): string => join(home, 'instances');

/**
 * Locks a folder (0700, made when missing) by an exclusive transaction on a file in it: the kernel frees it at once
 * when the process dies, however it dies.
 *
 * @returns null when another process holds it.
 * @throws PAM_CONFIG_INVALID when the folder cannot be made or written.
 */
function lock(path: string): StateFolder | null {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
    const database = new DatabaseSync(join(path, 'instance.lock'), { timeout: 0 });
    try {
      database.exec('BEGIN EXCLUSIVE');
    } catch (reason) {
      database.close();
      const isBusy = reason instanceof Error && 'errcode' in reason && reason.errcode === 5;
      if (isBusy) return null;
      throw reason;
    }
    return { path, release: () => database.close() };
  } catch (reason) {
    throw PamError.from(reason, 'PAM_CONFIG_INVALID', `the state folder ${path} cannot be used`);
  }
}

/** Which folder under HOME/instances is taken when none is named. */
export interface FolderWish {
  /** An existing folder that suits better than all others; asked before it is locked. */
  readonly prefers: (path: string) => boolean;
  /** Any other folder that may be taken. */
  readonly suits: (path: string) => boolean;
  /** Nothing but a preferred folder will do. */
  readonly onlyPreferred: boolean;
}
const anyFolder: FolderWish = { prefers: () => false, suits: () => true, onlyPreferred: false };

/**
 * Claims the state folder of an instance: the one named, or the first under HOME/instances that is free and suits.
 *
 * @param named - `--state-dir`.
 * @returns null when none is named and no preferred one is free although only such a one will do.
 * @throws PAM_INSTANCE_DUPLICATE when the named folder is in use; PAM_CONFIG_INVALID when it cannot be used.
 */
export function claimStateFolder(named: string | undefined, home: string, wish = anyFolder): StateFolder | null {
  if (named !== undefined) {
    const folder = lock(resolve(named));
    if (folder !== null) return folder;
    throw new PamError('PAM_INSTANCE_DUPLICATE', `another instance uses the state folder ${resolve(named)}`, {
      remedy: 'Give each instance its own --state-dir, or stop the other one.',
    });
  }
  const numbered = numberedFolders(home);
  const preferred = existingFolders(home).filter((path) => wish.prefers(path));
  for (const path of preferred) {
    const folder = lock(path);
    if (folder !== null) return folder;
  }
  if (wish.onlyPreferred) return null;
  for (const path of numbered) {
    if (existsSync(path) && !wish.suits(path)) continue;
    const folder = lock(path);
    if (folder !== null) return folder;
  }
  throw new PamError('PAM_CONFIG_INVALID', `no free state folder under ${instancesFolder(home)}`);
}

const numberedFolders = (home: string): readonly string[] =>
  Array.from({ length: mostFolders }, (_, at) => join(instancesFolder(home), String(at + 1)));

/** Folders under HOME/instances, in order. */
export function existingFolders(home: string): readonly string[] {
  return numberedFolders(home).filter((path) => existsSync(path));
}
