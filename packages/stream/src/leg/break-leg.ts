import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** Breaks a leg: a TCP reset where it is TCP; a leg inside a proxy's TLS is dropped without a closing word. */
export function breakLeg(leg: Socket): void {
  if (leg instanceof TLSSocket) leg.destroy();
  else leg.resetAndDestroy();
}
