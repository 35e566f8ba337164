import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Later } from './cleanup.ts';

/**
 * A private folder of its own, gone at the end.
 *
 * @param mode - 0o711 lets a server that runs as another user reach what lies inside.
 */
export function tempDir(later: Later, mode = 0o700): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-'));
  chmodSync(folder, mode);
  later(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }));
  return folder;
}
