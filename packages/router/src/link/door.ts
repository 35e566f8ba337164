import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { linkLimits } from '@sallyport/protocol';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Link } from './link.ts';

const strangers = { inAll: 512, perAddress: 64 } as const;
/** On top of it comes the instance's own jitter. */
const busyRetrySeconds = 5;

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.on('error', () => socket.destroy());
  const later = status.startsWith('503') ? `retry-after: ${busyRetrySeconds}\r\n` : '';
  // HTTP lets go of an upgraded socket: without an end of ours, who never hangs up would hold its descriptor for ever.
  socket.end(`HTTP/1.1 ${status}\r\n${later}connection: close\r\ncontent-length: 0\r\n\r\n`, () => socket.destroy());
}

/**
 * Where connections become links: `/v1/link` alone, while links are taken, and few from those who have proved nothing.
 *
 * @param deps.open - makes a link of an upgraded connection; `isReset` tells whether it ended by a reset.
 * @returns what to do with an upgrade of the HTTP server.
 */
export function createDoor(deps: {
  readonly addressOf: (socket: Socket) => string;
  readonly isTaking: () => boolean;
  /** Links that are no members yet. */
  readonly unproved: ReadonlyMap<string, Link>;
  readonly open: (ws: WebSocket, socket: Socket, address: string, isReset: () => boolean) => void;
}): (request: IncomingMessage, socket: Duplex, head: Buffer) => void {
  const { addressOf, isTaking, unproved, open } = deps;
  const wss = new WebSocketServer({
    noServer: true,
    maxPayload: linkLimits.messageBytes,
    perMessageDeflate: false,
    autoPong: false,
    clientTracking: false,
  });

  function tooManyStrangers(address: string): boolean {
    const here = [...unproved.values()].filter((link) => link.address === address);
    return unproved.size >= strangers.inAll || here.length >= strangers.perAddress;
  }

  return (request, socket, head) => {
    if (request.url?.split('?')[0] !== '/v1/link') return refuseUpgrade(socket, '404 Not Found');
    if (!isTaking()) return refuseUpgrade(socket, '503 Service Unavailable');
    const address = addressOf(request.socket);
    if (tooManyStrangers(address)) return refuseUpgrade(socket, '503 Service Unavailable');
    let reset = false;
    socket.on('error', () => {
      reset = true;
      socket.destroy();
    });
    wss.handleUpgrade(request, socket, head, (ws) => {
      ws.on('error', () => ws.terminate());
      open(ws, request.socket, address, () => reset);
    });
  };
}
