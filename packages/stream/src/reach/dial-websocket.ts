import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { legCarrier, PamError } from '@sallyport/protocol';
import { WebSocket } from 'ws';
import { certificateThumbprint } from '../tls/stream-context.ts';
import { dialRouter, type RouterDial } from './dial-router.ts';
import { legOverWebSocket } from './websocket-leg.ts';

/**
 * Opens a leg inside TLS and a WebSocket, for networks that pass nothing else. The router's key is compared with the
 * pins before anything is said, as everywhere.
 *
 * @param pins - base64url SHA-256 of the SPKI.
 * @throws as `dialRouter`, PAM_ROUTER_IMPOSTOR, PAM_ROUTER_UNREACHABLE when the router knows no such legs.
 */
export async function dialWebSocket(options: RouterDial, pins: readonly string[]): Promise<Duplex> {
  const { address, signal } = options;
  const shown = `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
  const raw = await dialRouter({ ...options, halfOpen: false });
  const late = AbortSignal.timeout(options.withinMs);
  const over = AbortSignal.any([signal, late]);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const away = (why: string, cause?: unknown): PamError =>
    new PamError('PAM_ROUTER_UNREACHABLE', `no leg by WebSocket to the router at ${shown} (${why})`, {
      cause,
      detail: { address: shown, why, sent: 0 },
    });
  const onAbort = (): void =>
    failed.reject(
      signal.aborted ? PamError.from(signal.reason, 'PAM_INTERRUPTED', 'the leg was given up') : away('late'),
    );
  over.addEventListener('abort', onAbort, { once: true });
  if (over.aborted) onAbort();
  const tls = connect({
    socket: raw,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: false,
    ALPNProtocols: [legCarrier.protocol, 'http/1.1'],
    ...(isIP(address.host) === 0 ? { servername: address.host } : {}),
  });
  tls.on('error', (reason: NodeJS.ErrnoException) => failed.reject(away(reason.code ?? reason.message, reason)));
  tls.once('close', () => failed.reject(away('closed')));
  try {
    await Promise.race([failed.promise, new Promise<void>((resolve) => tls.once('secureConnect', resolve))]);
    checkPin(tls, shown, pins);
    const ws = new WebSocket(`ws://${shown}${legCarrier.path}`, {
      createConnection: () => tls,
      perMessageDeflate: false,
      maxPayload: legCarrier.messageBytes,
      followRedirects: false,
    });
    // Made before it is open: no message is missed.
    const leg = legOverWebSocket(ws);
    leg.on('error', (reason) => failed.reject(away(reason.message, reason)));
    ws.once('unexpected-response', (_request, { statusCode }) => failed.reject(away(`it answers ${statusCode}`)));
    await Promise.race([failed.promise, new Promise<void>((resolve) => ws.once('open', resolve))]);
    return leg;
  } catch (reason) {
    tls.destroy();
    throw reason;
  } finally {
    over.removeEventListener('abort', onAbort);
  }
}

function checkPin(tls: TLSSocket, shown: string, pins: readonly string[]): void {
  const certificate = tls.getPeerX509Certificate();
  if (certificate !== undefined && pins.includes(certificateThumbprint(certificate.raw))) return;
  throw new PamError('PAM_ROUTER_IMPOSTOR', `the server at ${shown} holds another key than the router`, {
    detail: { address: shown },
  });
}
