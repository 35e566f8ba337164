import type { Socket } from 'node:net';
import type { WaitingConnection } from '../../src/relay/index.ts';

/** For `onTls`: takes whatever comes, with what was read of it put back. */
export function takeTls(have: (socket: Socket) => void): (waiting: WaitingConnection) => void {
  return (waiting) =>
    waiting.take((socket, early) => {
      socket.unshift(early);
      have(socket);
    });
}
