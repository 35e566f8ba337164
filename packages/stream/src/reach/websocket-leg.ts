import { Duplex } from 'node:stream';
import { legCarrier, PamError } from '@sallyport/protocol';
import type { RawData, WebSocket } from 'ws';

/**
 * A leg whose bytes travel in binary messages of a WebSocket, 1 byte to 64 KiB each. WebSocket has no half-close and its
 * own closing may be a balancer's doing, so an empty message says "no more bytes from me"; every end without it is a
 * break, as a TCP reset is. Nothing is read ahead of the reader but what one read of the socket holds.
 *
 * @returns half-open; `destroy` before both ends said their last byte breaks the other end, too.
 */
export function legOverWebSocket(ws: WebSocket): Duplex {
  let heardEnd = false;
  let saidEnd = false;
  const leg = new Duplex({
    allowHalfOpen: true,
    read: () => ws.resume(),
    write: (bytes: Buffer, _encoding, done) => send(ws, bytes, done),
    final: (done) => {
      saidEnd = true;
      ws.send(new Uint8Array(0), done);
    },
    destroy: (reason, done) => {
      // Read on: the other's closing frame ends it, else ws keeps the connection for 30 s.
      ws.resume();
      if (heardEnd && saidEnd && reason === null) ws.close(1_000);
      else ws.terminate();
      done(reason);
    },
  });
  ws.on('message', (data: RawData, isBinary: boolean) => {
    if (!isBinary || heardEnd) return void leg.destroy(broken('it speaks no protocol of legs'));
    const bytes = Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer);
    heardEnd = bytes.length === 0;
    if (heardEnd) leg.push(null);
    else if (!leg.push(bytes)) ws.pause();
  });
  ws.on('error', (reason) => leg.destroy(broken(reason.message, reason)));
  ws.on('close', () => {
    if (!leg.destroyed && !(heardEnd && saidEnd)) leg.destroy(broken('it was cut'));
  });
  return leg;
}

function send(ws: WebSocket, bytes: Buffer, done: (reason?: Error | null) => void): void {
  const most = legCarrier.messageBytes;
  for (let at = 0; at + most < bytes.length; at += most) ws.send(bytes.subarray(at, at + most));
  ws.send(bytes.subarray(bytes.length - (bytes.length % most || most)), done);
}

function broken(why: string, cause?: unknown): PamError {
  return new PamError('PAM_LEG_FAILED', `the leg's WebSocket broke: ${why}`, { cause, detail: { status: 'lost' } });
}
