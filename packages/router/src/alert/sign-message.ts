import { createHmac } from 'node:crypto';

/**
 * Signature of one attempt: `t=SECONDS,v1=HEX`, HMAC-SHA-256 with the shared secret over `SECONDS.BODY`. The receiver
 * computes it anew, compares in constant time, and refuses a time that is too far away: that is what keeps a recorded
 * message from being played again.
 *
 * @see docs/operations.md, "Alerts by webhook"; RFC 2104
 */
export function signMessage(body: string, secret: Uint8Array, seconds: number): string {
  const mac = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${mac}`;
}
