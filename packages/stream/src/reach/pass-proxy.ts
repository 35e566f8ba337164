import type { Socket } from 'node:net';
import { readConnectAnswer } from './connect-answer.ts';
import { connectRequest } from './connect-request.ts';
import { proxyAway, proxyRefused } from './proxy-errors.ts';
import type { Proxy } from './proxy.ts';

/**
 * Asks the proxy at the other end of `socket` for the router. When it resolves the socket is the router's; bytes that
 * came glued to the answer have been put back. Deadline and interruption are the caller's: it destroys the socket.
 *
 * @throws PAM_PROXY_REFUSED, PAM_PROXY_UNREACHABLE.
 */
export async function passProxy(
  socket: Socket,
  proxy: Proxy,
  router: { readonly host: string; readonly port: number; readonly shown: string },
): Promise<void> {
  socket.write(connectRequest(router, proxy.authorization));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let have: Buffer = Buffer.alloc(0);
  const look = (): void => {
    for (let bytes = socket.read() as Buffer | null; bytes !== null; bytes = socket.read() as Buffer | null) {
      have = Buffer.concat([have, bytes]);
      const answer = readConnectAnswer(have);
      if (answer.kind === 'incomplete') continue;
      if (answer.kind === 'garbled') return reject(proxyAway(proxy, answer.why));
      if (answer.status >= 300) return reject(proxyRefused(proxy, router.shown, answer));
      // Before the bytes go back: putting them there calls whoever waits for bytes.
      socket.off('readable', look);
      if (have.length > answer.length) socket.unshift(have.subarray(answer.length));
      return resolve();
    }
  };
  const left = (): void => reject(proxyAway(proxy, 'closed the connection without an answer'));
  socket.on('readable', look);
  socket.once('end', left);
  socket.once('close', left);
  try {
    await promise;
  } finally {
    socket.off('readable', look);
    socket.off('end', left);
    socket.off('close', left);
  }
}
