import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { PamError } from '@sallyport/protocol';
import { fileError, isMissing, readText, syncFolder, writeWhole } from './file-store.ts';
import { parseFile } from './parse-file.ts';
import { type Memory, memorySchema, newMemory, newsIn, type Sighting, sightingSchema, withNews } from './memory.ts';

/**
 * The memory of a profile on disk: `memory.json`, the whole of it, and `memory.jsonl`, a line for what was seen since. So
 * what is remembered costs what is new and not what is known: an import of a thousand records writes each of them once.
 *
 * M1 `remember` resolves when its line is on the disk: a kill leaves the line whole, or one without an end, which nobody
 *    relied on and the next writer cuts off.
 * M2 The lines are drawn into `memory.json` when they are longer than it: written whole first, then the lines emptied. A
 *    kill between leaves lines that are known already; what is seen only ever gets higher, so reading them again changes
 *    nothing.
 * M3 A reader takes no lock. When `memory.json` was replaced while it read the lines, it begins again.
 * M4 A floor sinks by a person's word alone (`lower`): written into `memory.json`, then the lines emptied. After a kill between the
 *    lines raise it again, and the word has to be said once more.
 * M5 A damaged file is an error and never taken for an empty one.
 */
export interface MemoryFile {
  read(): Promise<Memory>;
  /** What of `seen` is news, written; without news nothing is. @returns the memory with it. PAM_CONFIG_INVALID. */
  remember(seen: Sighting): Promise<Memory>;
  /** Puts these revisions in the place of what was seen of the same parts. PAM_CONFIG_INVALID. */
  lower(revs: Memory['revs']): Promise<void>;
}

const limitBytes = 64 * 1_024 * 1_024;
/** Below this the lines are never worth a new `memory.json`: about 70 records. */
const fewBytes = 65_536;

interface Known {
  /** Which `memory.json` was read. */
  readonly whole: string;
  readonly wholeBytes: number;
  /** Where the lines read so far end. */
  readonly offset: number;
  readonly memory: Memory;
}

/** @param locked - runs as one step among all processes of the profile. */
export function openMemoryFile(
  paths: { readonly folder: string; readonly whole: string; readonly lines: string },
  locked: <T>(work: () => Promise<T>) => Promise<T>,
): MemoryFile {
  let known: Known | null = null;

  const readWhole = async (whole: Whole): Promise<Known> => {
    const text = await readText(paths.whole, limitBytes);
    const memory = text === null ? newMemory() : parseFile(paths.whole, text, memorySchema);
    return { whole: whole.id, wholeBytes: whole.bytes, offset: 0, memory };
  };
  const readAll = async (whole: Whole): Promise<Known | null> =>
    (known?.whole === whole.id ? await readOn(known, paths.lines) : null) ??
    (await readOn(await readWhole(whole), paths.lines));
  const upToDate = async (): Promise<Known> => {
    for (;;) {
      const whole = await wholeOf(paths.whole);
      const read = await readAll(whole).catch((reason: unknown) => ({ reason }));
      // Before an error is believed, too: other lines than ours may begin in the middle of one.
      if (read === null || (await wholeOf(paths.whole)).id !== whole.id) continue;
      if ('reason' in read) throw read.reason;
      known = read;
      return read;
    }
  };

  return {
    read: async () => (await upToDate()).memory,
    remember: async (seen) =>
      locked(async () => {
        const before = await upToDate();
        const news = newsIn(before.memory, seen);
        if (news === null) return before.memory;
        const offset = await append(paths, before.offset, `${JSON.stringify(news)}\n`);
        const memory = withNews(before.memory, news);
        known = { ...before, offset, memory };
        if (offset > Math.max(fewBytes, before.wholeBytes)) {
          await writeWhole(paths.whole, `${JSON.stringify(memory, null, 2)}\n`);
          await empty(paths.lines);
          const whole = await wholeOf(paths.whole);
          known = { whole: whole.id, wholeBytes: whole.bytes, offset: 0, memory };
        }
        return memory;
      }),
    lower: async (revs) =>
      locked(async () => {
        const { memory } = await upToDate();
        const lowered: Memory = { ...memory, revs: { ...memory.revs, ...revs } };
        await writeWhole(paths.whole, `${JSON.stringify(lowered, null, 2)}\n`);
        await empty(paths.lines);
        known = null;
      }),
  };
}

interface Whole {
  readonly id: string;
  readonly bytes: number;
}

async function wholeOf(path: string): Promise<Whole> {
  try {
    const { ino, mtimeNs, size } = await stat(path, { bigint: true });
    return { id: `${ino}/${mtimeNs}/${size}`, bytes: Number(size) };
  } catch (reason) {
    if (isMissing(reason)) return { id: 'none', bytes: 0 };
    throw fileError(reason, path);
  }
}

/** What was known, with the lines that came after; null when there are not even those that were read. */
async function readOn(from: Known, path: string): Promise<Known | null> {
  const text = await readFrom(path, from.offset);
  if (text === null) return null;
  const end = text.lastIndexOf(0x0a) + 1;
  if (end === 0) return from;
  let { memory } = from;
  for (const line of text
    .subarray(0, end - 1)
    .toString('utf8')
    .split('\n')) {
    const news = newsIn(memory, parseFile(path, line, sightingSchema));
    if (news !== null) memory = withNews(memory, news);
  }
  return { ...from, offset: from.offset + end, memory };
}

async function readFrom(path: string, offset: number): Promise<Buffer | null> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size > limitBytes) throw new PamError('PAM_TOO_LARGE', `${path} is over ${limitBytes} bytes`);
      if (size < offset) return null;
      const buffer = Buffer.alloc(size - offset);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (reason) {
    if (isMissing(reason)) return offset === 0 ? Buffer.alloc(0) : null;
    throw fileError(reason, path);
  }
}

/** Puts a line after the last whole one. @returns where the lines end now. */
async function append(
  paths: { readonly folder: string; readonly lines: string },
  offset: number,
  line: string,
): Promise<number> {
  const isNew = offset === 0;
  return onFile(paths.lines, async (file) => {
    await file.truncate(offset);
    await file.writeFile(line);
    await file.datasync();
    if (isNew) await syncFolder(paths.folder);
    return offset + Buffer.byteLength(line);
  });
}

async function empty(path: string): Promise<void> {
  await onFile(path, async (file) => file.truncate(0));
}

async function onFile<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  try {
    const file = await open(
      path,
      constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      return await work(file);
    } finally {
      await file.close();
    }
  } catch (reason) {
    throw fileError(reason, path);
  }
}
