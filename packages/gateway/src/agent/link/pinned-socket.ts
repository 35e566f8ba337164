import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import tls from 'node:tls';
import { PamError } from '@sallyport/protocol';
import type { HostPort } from '@sallyport/seal';
import { dialRouter, type Reach } from '@sallyport/stream';
import { showAddress } from './router-address.ts';

export interface PinnedSocket {
  readonly socket: tls.TLSSocket;
  /** The pin that matched. */
  readonly pin: string;
}

const dialWithinMs = 10_000;

/** @throws PAM_ROUTER_IMPOSTOR unless the certificate's key is one of `pins`. */
function checkPin(socket: tls.TLSSocket, where: string, pins: readonly string[]): string {
  // OpenSSL has read the key for the handshake: the same text as `pinOf`, without reading all of it again.
  const key = socket.getPeerX509Certificate()?.publicKey.export({ type: 'spki', format: 'der' });
  const pin = key === undefined ? '' : createHash('sha256').update(key).digest('base64url');
  if (pins.includes(pin)) return pin;
  throw new PamError('PAM_ROUTER_IMPOSTOR', `the server at ${where} holds another key than the router`, {
    detail: { address: where, shown: pin, pinned: pins.join(' ') },
  });
}

function unreachable(where: string, reason: unknown): PamError {
  if (reason instanceof PamError) return reason;
  const code = reason instanceof Error && 'code' in reason && typeof reason.code === 'string' ? reason.code : 'closed';
  const isTls = code.startsWith('ERR_SSL_') || code === 'EPROTO';
  const message = isTls
    ? `what answers at ${where} does not speak TLS 1.3`
    : `no connection to the router at ${where} (${code})`;
  return new PamError('PAM_ROUTER_UNREACHABLE', message, { detail: { address: where, why: code }, cause: reason });
}

/**
 * Opens TLS 1.3 to a router whose key is not judged yet. No authority store is asked, so NODE_TLS_REJECT_UNAUTHORIZED
 * changes nothing.
 *
 * @param reached - the connection is up and waits for its handshake: a router to which many come takes them in turn.
 * @throws PAM_ROUTER_UNREACHABLE, PAM_PROXY_*; `signal.reason` when aborted. The socket is destroyed then.
 */
export async function openRouterTls(
  address: HostPort,
  reach: Reach,
  signal: AbortSignal,
  reached: () => void = () => undefined,
): Promise<tls.TLSSocket> {
  signal.throwIfAborted();
  const where = showAddress(address);
  const raw = await dialRouter({ address, reach, withinMs: dialWithinMs, halfOpen: false, signal });
  reached();
  const socket = tls.connect({
    socket: raw,
    ...(isIP(address.host) === 0 ? { servername: address.host } : {}),
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => {
    socket.destroy();
    reject(signal.reason);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  socket.once('secureConnect', resolve);
  socket.on('error', reject);
  socket.once('close', () => reject(new PamError('PAM_ROUTER_UNREACHABLE', `${where} closed the connection`)));
  try {
    await promise;
    return socket;
  } catch (reason) {
    socket.destroy();
    throw signal.aborted ? signal.reason : unreachable(where, reason);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * Opens TLS 1.3 to the router and compares its key with the pins by hand before anything is sent.
 *
 * @throws PAM_ROUTER_UNREACHABLE, PAM_ROUTER_IMPOSTOR, PAM_PROXY_*; `signal.reason` when aborted.
 */
export async function openPinnedSocket(
  address: HostPort,
  pins: readonly string[],
  reach: Reach,
  signal: AbortSignal,
  reached: () => void,
): Promise<PinnedSocket> {
  const socket = await openRouterTls(address, reach, signal, reached);
  try {
    return { socket, pin: checkPin(socket, showAddress(address), pins) };
  } catch (reason) {
    socket.destroy();
    throw reason;
  }
}
