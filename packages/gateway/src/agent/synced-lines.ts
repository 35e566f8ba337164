import { open } from 'node:fs/promises';

/**
 * Appends lines to a file and resolves when they survive a power cut. What follows the last line end of the file was being
 * written when a process died, and is cut off first. The file is only its owner's.
 *
 * @returns offset of the first of them, in bytes.
 */
export async function appendLines(path: string, lines: readonly string[]): Promise<number> {
  const file = await open(path, 'a+', 0o600);
  try {
    const { size } = await file.stat();
    const end = await endOfLastLine(file, size);
    if (end < size) await file.truncate(end);
    await file.appendFile(lines.map((line) => `${line}\n`).join(''));
    await file.sync();
    return end;
  } finally {
    await file.close();
  }
}

/** Length up to and with the last line end; what follows is a torn write. */
async function endOfLastLine(file: Awaited<ReturnType<typeof open>>, size: number): Promise<number> {
  // Most of the time the last byte says it.
  for (let [to, window] = [size, 1]; to > 0; window = 65_536) {
    const from = Math.max(0, to - window);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(to - from), 0, to - from, from);
    const at = buffer.subarray(0, bytesRead).lastIndexOf(0x0a);
    if (at !== -1) return from + at + 1;
    to = from;
  }
  return 0;
}
