import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { appendLines } from '../../agent/index.ts';

/** A piece of a file, in bytes. */
export interface FilePiece {
  readonly offset: number;
  readonly length: number;
}

/** A file of lines that survive a power cut. Every method throws PAM_CONFIG_INVALID when the folder cannot be used. */
export interface JournalFile {
  /** Empty when there is none yet. */
  read(): Promise<Buffer>;
  /** Offset of the first line. */
  append(lines: readonly string[]): Promise<number>;
  /** Puts these lines in the place of all. */
  replace(lines: readonly string[]): Promise<void>;
  piece(at: FilePiece): Promise<string>;
}

export function journalFile(path: string): JournalFile {
  async function usable<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (reason) {
      throw PamError.from(reason, 'PAM_CONFIG_INVALID', `the state folder cannot be used: ${path}`);
    }
  }
  return {
    read: () => usable(() => readOrNothing(path)),
    append: (lines) => usable(() => appendLines(path, lines)),
    replace: (lines) => usable(() => replaceFile(path, lines.map((line) => `${line}\n`).join(''))),
    piece: (at) => usable(() => readPiece(path, at)),
  };
}

async function readOrNothing(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (reason) {
    if (reason instanceof Error && 'code' in reason && reason.code === 'ENOENT') return Buffer.alloc(0);
    throw reason;
  }
}

/** Written beside it and put in its place: whoever dies in between leaves the old one. */
async function replaceFile(path: string, text: string): Promise<void> {
  const fresh = `${path}.new`;
  const file = await open(fresh, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function readPiece(path: string, { offset, length }: FilePiece): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
