import type { IncomingMessage } from 'node:http';
import {
  createPeer,
  errorCatalog,
  isErrorCode,
  type LinkHandlers,
  linkLimits,
  PamError,
  type Peer,
} from '@sallyport/protocol';
import type { HostPort } from '@sallyport/seal';
import { proxyFor, type Reach } from '@sallyport/stream';
import { type RawData, WebSocket } from 'ws';
import type { Log, Runtime } from '../runtime.ts';
import { openPinnedSocket } from './pinned-socket.ts';
import { showAddress } from './router-address.ts';

export interface ControlLinkDeps {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly pins: readonly string[];
  readonly reach: Reach;
  readonly handlers: LinkHandlers<'instance'>;
  /** The connection is up; its handshake may have to wait. */
  readonly onReached: () => void;
  readonly onPong: (payload: Uint8Array) => void;
  /** Once, when the link is over, whoever ended it. */
  readonly onClosed: (error: PamError) => void;
}
/** One control link: up from the moment it exists until `onClosed`. */
export interface ControlLink {
  readonly address: HostPort;
  /** Address the socket really went to; null when a proxy went there. */
  readonly remote: { readonly address: string; readonly port: number } | null;
  readonly routerPin: string;
  readonly call: Peer<'instance'>['call'];
  ping(payload: Uint8Array): void;
  /** Cuts the link at once, without a closing handshake: the other end may be dead. */
  cut(error: PamError): void;
}

/** Seconds that a router which is full or starting asks for; anything else of the header is no wish of it. */
function retryAfter(header: string | undefined): { retryAfterMs?: number } {
  return header !== undefined && /^\d{1,3}$/.test(header) ? { retryAfterMs: Number(header) * 1_000 } : {};
}

function refusedUpgrade(where: string, response: IncomingMessage): PamError {
  const status = response.statusCode ?? 0;
  const isBusy = status === 503;
  return new PamError('PAM_ROUTER_UNREACHABLE', `${where} answered HTTP ${status} to the control link`, {
    detail: isBusy ? retryAfter(response.headers['retry-after']) : {},
    remedy: isBusy
      ? 'The router is starting, or has too many connections at once; this instance dials again by itself.'
      : 'Check that the address is that of the Sallyport router and that it is not older than this program.',
  });
}

const upgradeWithinMs = 10_000;

function textOf(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString('utf8');
  return Buffer.from(data instanceof ArrayBuffer ? new Uint8Array(data) : data).toString('utf8');
}

function closeError(where: string, code: number, reason: string): PamError {
  if (isErrorCode(reason))
    return new PamError(reason, `the router at ${where} ended the link. ${errorCatalog[reason].meaning}`);
  return new PamError(
    'PAM_ROUTER_UNREACHABLE',
    `the link to ${where} was closed (${code}${reason === '' ? '' : `: ${reason}`})`,
  );
}

/** WebSocket close code: this instance lives, gives the link up and dials anew (docs/protocol-api.md). */
const givenUp = 4_005;

/**
 * Dials the router and opens the control link on a pinned socket. The challenge may come before this resolves.
 *
 * @throws PAM_ROUTER_UNREACHABLE, PAM_ROUTER_IMPOSTOR, PAM_PROXY_*; `signal.reason` when aborted.
 */
export async function openControlLink(
  address: HostPort,
  deps: ControlLinkDeps,
  signal: AbortSignal,
): Promise<ControlLink> {
  const where = showAddress(address);
  const { socket, pin } = await openPinnedSocket(address, deps.pins, deps.reach, signal, deps.onReached);
  const remote =
    proxyFor(deps.reach, address) === null
      ? { address: socket.remoteAddress ?? '', port: socket.remotePort ?? address.port }
      : null;
  const ws = new WebSocket(`ws://${where}/v1/link`, {
    createConnection: () => socket,
    perMessageDeflate: false,
    maxPayload: linkLimits.messageBytes,
    handshakeTimeout: upgradeWithinMs,
    followRedirects: false,
  });
  let over = false;
  const end = (error: PamError): void => {
    if (over) return;
    over = true;
    peer.close(error);
    // Without a word the router would take it for the death of this process, and its streams for lost.
    if (ws.readyState === WebSocket.OPEN) ws.close(givenUp, error.code);
    ws.terminate();
    socket.destroy();
    deps.onClosed(error);
  };
  const peer = createPeer<'instance'>({
    side: 'instance',
    send: (text) => {
      if (ws.readyState === WebSocket.OPEN) ws.send(text);
    },
    handlers: deps.handlers,
    schedule: deps.runtime.schedule,
    onBroken: (error) => end(error),
    onHandlerError: (method, reason) =>
      deps.log.error('a message of the router could not be handled', {
        method,
        error: reason instanceof Error ? reason.message : '',
      }),
  });
  ws.on('message', (data, isBinary) => {
    if (isBinary) end(new PamError('PAM_BAD_REQUEST', 'the router sent a binary message'));
    else peer.receive(textOf(data));
  });
  ws.on('pong', (payload) => deps.onPong(new Uint8Array(payload)));
  ws.on('close', (code, reason) => end(closeError(where, code, reason.toString('utf8').slice(0, 123))));
  await opened(ws, socket, where, signal, end);
  return {
    address,
    remote,
    routerPin: pin,
    call: peer.call,
    ping: (payload) => {
      if (ws.readyState === WebSocket.OPEN) ws.ping(payload);
    },
    cut: end,
  };
}

async function opened(
  ws: WebSocket,
  socket: { destroy(): unknown },
  where: string,
  signal: AbortSignal,
  end: (error: PamError) => void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  ws.once('open', resolve);
  ws.once('close', () => reject(new PamError('PAM_ROUTER_UNREACHABLE', `${where} closed the connection`)));
  ws.once('unexpected-response', (_request, response) => reject(refusedUpgrade(where, response)));
  ws.on('error', (error) =>
    reject(
      new PamError('PAM_ROUTER_UNREACHABLE', `the control link to ${where} failed: ${error.message}`, { cause: error }),
    ),
  );
  try {
    if (signal.aborted) onAbort();
    await promise;
  } catch (reason) {
    socket.destroy();
    const error = PamError.from(reason, 'PAM_ROUTER_UNREACHABLE', `the control link to ${where} failed`);
    end(error);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
