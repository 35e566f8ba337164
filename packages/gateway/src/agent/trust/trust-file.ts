import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import type { TrustStore } from './trust-memory.ts';

const maxBytes = 1_073_741_824;

/**
 * Keeps the verified entries of one installation in a state folder: one line each, synced to disk. Named by the anchor,
 * so that a folder which served another installation before never mixes the two.
 *
 * @throws PAM_CONFIG_INVALID when the folder cannot be read or written.
 */
export function trustFile(stateDir: string, anchor: string): TrustStore {
  const name = createHash('sha256').update(anchor).digest('hex').slice(0, 16);
  const path = join(stateDir, `trust-${name}.log`);
  const failed = (reason: unknown): PamError =>
    PamError.from(reason, 'PAM_CONFIG_INVALID', `the state folder cannot be used: ${path}`);
  return {
    read: async () => {
      try {
        const text = await readFile(path, 'utf8');
        if (text.length > maxBytes) throw new PamError('PAM_CONFIG_INVALID', `${path} is too large`);
        // What follows the last line end was being written when the process died: it is fetched again.
        return text.split('\n').slice(0, -1);
      } catch (reason) {
        if (reason instanceof Error && 'code' in reason && reason.code === 'ENOENT') return [];
        throw failed(reason);
      }
    },
    append: async (entries) => {
      try {
        await appendLines(path, entries);
      } catch (reason) {
        throw failed(reason);
      }
    },
  };
}

async function appendLines(path: string, lines: readonly string[]): Promise<void> {
  const file = await open(path, 'a+', 0o600);
  try {
    const { size } = await file.stat();
    await file.truncate(await endOfLastLine(file, size));
    await file.appendFile(lines.map((line) => `${line}\n`).join(''));
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Length up to and with the last line end; what follows is a torn write. */
async function endOfLastLine(file: Awaited<ReturnType<typeof open>>, size: number): Promise<number> {
  const window = 65_536;
  const from = Math.max(0, size - window);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
  const at = buffer.subarray(0, bytesRead).lastIndexOf(0x0a);
  return at === -1 ? from : from + at + 1;
}
