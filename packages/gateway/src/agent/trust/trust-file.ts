import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { appendLines } from '../synced-lines.ts';
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
