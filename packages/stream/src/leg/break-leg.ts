import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

/**
 * Breaks a leg: a TCP reset where it is TCP; a leg inside a proxy's TLS or a WebSocket is dropped without a closing word.
 */
export function breakLeg(leg: Duplex): void {
  if (leg instanceof Socket && !(leg instanceof TLSSocket)) leg.resetAndDestroy();
  else leg.destroy();
}
