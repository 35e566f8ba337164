import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { PamError } from '@sallyport/protocol';
import type { KindIo, ServerIdentity } from '@sallyport/rotation';

/**
 * Tells whose key the server holds, once its handshake is done: nothing of a login may be sent before that.
 *
 * @throws PamError PAM_TARGET_RESET when there is no key, PAM_TARGET_IDENTITY (from `io.identify`).
 */
export function identifyServer(socket: TLSSocket, io: Pick<KindIo, 'identify'>, at?: ServerIdentity['at']): void {
  const key = socket.getPeerX509Certificate()?.publicKey.export({ type: 'spki', format: 'der' });
  if (key === undefined) throw new PamError('PAM_TARGET_RESET', 'the server showed no key');
  const value = `sha256:${createHash('sha256').update(key).digest('base64url')}`;
  io.identify({ kind: 'tls', value, ...(at === undefined ? {} : { at }) });
}

/**
 * TLS over a stream that was dialled through the policy. Who the server is, is decided by its key alone (`io.identify`:
 * pinned, or first seen): certificates of directories and databases are mostly signed by nobody a gateway knows. Nothing
 * is sent before that.
 *
 * @throws PamError PAM_TARGET_RESET when there is no TLS, PAM_TARGET_IDENTITY (from `io.identify`), `signal.reason`.
 */
export function openTls(
  stream: Duplex,
  host: string,
  io: Pick<KindIo, 'identify'>,
  signal: AbortSignal,
  at?: ServerIdentity['at'],
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      stream.destroy();
      reject(signal.reason);
      return;
    }
    const socket = connect({
      socket: stream,
      minVersion: 'TLSv1.2',
      // The key is compared below; see above.
      rejectUnauthorized: false,
      ...(isIP(host) === 0 ? { servername: host } : {}),
    });
    const fail = (reason: unknown): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('secureConnect', onSecure).off('close', onClose).off('error', onError);
      socket.on('error', () => {});
      socket.destroy();
      stream.destroy();
      reject(reason);
    };
    const noTls = (cause?: unknown): PamError =>
      new PamError('PAM_TARGET_RESET', `${host} does not speak TLS 1.2 or newer here`, { cause });
    const onAbort = (): void => fail(signal.reason);
    const onError = (error: Error): void => fail(noTls(error));
    const onClose = (): void => fail(noTls());
    const onSecure = (): void => {
      try {
        identifyServer(socket, io, at);
      } catch (reason) {
        return fail(reason);
      }
      signal.removeEventListener('abort', onAbort);
      socket.off('close', onClose).off('error', onError);
      resolve(socket);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('secureConnect', onSecure).once('close', onClose).once('error', onError);
  });
}
