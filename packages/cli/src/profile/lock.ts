import { PamError } from '@sallyport/protocol';
import type { Clock } from '../time/clock.ts';

const waitMs = 15;
const giveUpMs = 30_000;

/**
 * Runs `work` while holding an exclusive lock that all processes of this profile respect.
 *
 * The lock is SQLite's on an empty database file: the kernel gives it back when its holder dies, however it dies, so no
 * lock is ever left behind (`store.md`: proved with kill -9). PAM_TIMEOUT when it is held for 30 s.
 */
export async function withLock<T>(
  path: string,
  deps: { readonly clock: Clock; readonly signal: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    const since = deps.clock.monotonicMs();
    while (!tryLock(database)) {
      if (deps.clock.monotonicMs() - since > giveUpMs) {
        throw new PamError('PAM_TIMEOUT', `another pam command has held ${path} for ${giveUpMs / 1_000} s`);
      }
      await deps.clock.sleep(waitMs, deps.signal);
    }
    return await work();
  } finally {
    database.close();
  }
}

function tryLock(database: { exec(sql: string): void }): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (reason) {
    if (reason instanceof Error && 'errcode' in reason && reason.errcode === 5) return false;
    throw PamError.from(reason, 'PAM_CONFIG_INVALID', 'the lock file of the profile cannot be used');
  }
}
