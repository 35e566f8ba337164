import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Breaks a local end so that its reader sees an error and never a clean end: a TCP reset where there is TCP. A pipe or
 * a Unix socket has no reset: it is destroyed with an error of its own.
 */
export function resetLocal(local: Duplex): void {
  if (local.destroyed) return;
  if (local instanceof Socket && local.remoteFamily !== undefined) local.resetAndDestroy();
  else local.destroy();
}
