import { randomBytes } from 'node:crypto';
import { chmod, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PamError } from '@sallyport/protocol';

/** Reads a small text file; undefined when there is none. @throws PAM_CONFIG_INVALID, PAM_TOO_LARGE. */
export async function readSmallFile(path: string, maxBytes: number): Promise<string | undefined> {
  try {
    if ((await stat(path)).size > maxBytes) throw new PamError('PAM_TOO_LARGE', `${path} is over ${maxBytes} bytes`);
    return await readFile(path, 'utf8');
  } catch (reason) {
    if (reason instanceof Error && 'code' in reason && reason.code === 'ENOENT') return undefined;
    throw PamError.from(reason, 'PAM_CONFIG_INVALID', `${path} cannot be read`);
  }
}

/** Writes a file only its owner can read, whole or not at all, and resolves when it survives a power cut. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(temporary, 0o600);
    await rename(temporary, path);
    const folder = await open(dirname(path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (reason) {
    await rm(temporary, { force: true });
    throw PamError.from(reason, 'PAM_CONFIG_INVALID', `${path} cannot be written`);
  }
}

export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** JSON, or undefined when it is not. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (reason) {
    if (reason instanceof SyntaxError) return undefined;
    throw reason;
  }
}
