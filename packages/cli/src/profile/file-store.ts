import { constants } from 'node:fs';
import { lstat, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PamError } from '@sallyport/protocol';

/**
 * Files of a profile: 0600 in folders of 0700, written whole and atomically (new file, fsync, rename, fsync of the
 * folder), so that a crash leaves the old text or the new one.
 */

/** Makes a folder that only its owner can enter; an existing one is left as it is. */
export async function makePrivateFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (reason) {
    throw fileError(reason, path);
  }
}

let written = 0;

/** Replaces the text of `path`. PAM_CONFIG_INVALID when the disk refuses. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const next = `${path}.${process.pid}.${written++}.new`;
  try {
    const file = await open(next, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(next, path);
    await syncFolder(dirname(path));
  } catch (reason) {
    await rm(next, { force: true });
    throw fileError(reason, path);
  }
}

/** Appends a line to a file (0600), not synced: a kill loses nothing, a power cut the last lines. What it tore off stays a line of its own. */
export async function appendLine(path: string, line: string): Promise<void> {
  try {
    const file = await open(path, 'a+', 0o600);
    try {
      const { size } = await file.stat();
      const { bytesRead, buffer } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
      const isTorn = bytesRead === 1 && buffer[0] !== 0x0a;
      await file.appendFile(`${isTorn ? '\n' : ''}${line}\n`);
    } finally {
      await file.close();
    }
  } catch (reason) {
    throw fileError(reason, path);
  }
}

/** Bytes of a file; 0 when there is none. */
export async function sizeOf(path: string): Promise<number> {
  try {
    return (await lstat(path)).size;
  } catch (reason) {
    if (codeOf(reason) === 'ENOENT') return 0;
    throw fileError(reason, path);
  }
}

/** Writes a file that must not exist yet (0600). PAM_CONFLICT when it does: nothing is ever overwritten. */
export async function writeNew(path: string, text: string): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncFolder(dirname(path));
  } catch (reason) {
    throw fileError(reason, path);
  }
}

/** Says PAM_CONFLICT when something exists at `path`: asked before a long command begins. */
export async function refuseExisting(path: string): Promise<void> {
  try {
    await lstat(path);
  } catch (reason) {
    if (isMissing(reason)) return;
    throw fileError(reason, path);
  }
  throw exists(path);
}

/** Text of a file, or null when there is none. PAM_TOO_LARGE over `limitBytes`, checked before reading. */
export async function readText(path: string, limitBytes: number): Promise<string | null> {
  try {
    const { size } = await lstat(path);
    if (size > limitBytes) throw new PamError('PAM_TOO_LARGE', `${path} is over ${limitBytes} bytes`);
    return await readFile(path, 'utf8');
  } catch (reason) {
    if (isMissing(reason)) return null;
    throw fileError(reason, path);
  }
}

/** Overwrites a file with zeros and removes it; what a journalling or copying disk keeps is beyond us. */
export async function shred(path: string): Promise<void> {
  try {
    const file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW);
    try {
      const { size } = await file.stat();
      await file.write(Buffer.alloc(size), 0, size, 0);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (reason) {
    if (isMissing(reason)) return;
    throw fileError(reason, path);
  }
  await rm(path, { force: true });
}

/** Makes a name that was added to a folder last. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function exists(path: string): PamError {
  return new PamError('PAM_CONFLICT', `${path} exists already and is never overwritten`, {
    remedy: 'Give another file name.',
  });
}

/** What the disk says, as PAM_CONFIG_INVALID naming the path; PAM_CONFLICT for what exists already. */
export function fileError(reason: unknown, path: string): PamError {
  if (reason instanceof PamError) return reason;
  if (codeOf(reason) === 'EEXIST') return exists(path);
  return new PamError('PAM_CONFIG_INVALID', `${path}: ${codeOf(reason) ?? 'cannot be used'}`, {
    cause: reason,
    remedy: 'Check that the folder exists, belongs to you and has room.',
  });
}

/** Whether there is no such file. */
export const isMissing = (reason: unknown): boolean => codeOf(reason) === 'ENOENT';

function codeOf(reason: unknown): string | undefined {
  return reason instanceof Error && 'code' in reason && typeof reason.code === 'string' ? reason.code : undefined;
}
