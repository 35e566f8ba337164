import { DatabaseSync } from 'node:sqlite';
import { PamError } from '@sallyport/protocol';

/**
 * Holds a side file with `BEGIN EXCLUSIVE`: a second router on the same folder is refused, while readers and backups of
 * the store itself work; the kernel frees it at once when the holder is killed (proven 6).
 *
 * @returns what releases it.
 * @throws PAM_ROUTER_RUNNING
 */
export function holdLock(file: string): () => void {
  try {
    const lock = new DatabaseSync(file, { timeout: 0 });
    lock.exec('BEGIN EXCLUSIVE');
    return () => lock.close();
  } catch (reason) {
    const code: unknown = reason instanceof Error ? Reflect.get(reason, 'errcode') : undefined;
    if (code === 5) throw new PamError('PAM_ROUTER_RUNNING', `another router holds ${file}`, { cause: reason });
    throw new PamError('PAM_STORE_AWAY', `the lock file ${file} cannot be used`, { cause: reason });
  }
}
