import type { Duplex } from 'node:stream';
import { PamError } from '@sallyport/protocol';

/** Milliseconds from leg to OPENED (client) or from leg to OPEN (instance). */
export const openingLimits = { withinMs: 10_000 } as const;

/** A socket that is not half-open loses everything after the peer's FIN, silently: refuse it before it is used. */
export function requireHalfOpen(socket: Duplex): void {
  if (!socket.allowHalfOpen) throw new PamError('PAM_INTERNAL', 'a stream needs a socket made with allowHalfOpen');
}
