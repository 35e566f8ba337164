import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { breakLeg } from '../leg/break-leg.ts';

/**
 * Breaks a TLS connection with a TCP reset, in a turn of its own.
 *
 * Node frees the TLS state when the raw socket under it is destroyed. Done within a callback of that TLS state (the
 * handshake's end runs promises inside OpenSSL's own call) the process dies with SIGSEGV: seen with Node 24.21, when a
 * client refused a certificate.
 */
export function breakTls(tls: TLSSocket, leg: Duplex): void {
  setImmediate(() => {
    breakLeg(leg);
    tls.destroy();
  });
}
