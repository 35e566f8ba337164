import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { legLimits, PamError } from '@sallyport/protocol';
import { systemTimers, type Timers } from '../run/system-timers.ts';
import { besideAfterMs, firstConnected } from './first-connected.ts';
import { passProxy } from './pass-proxy.ts';
import { proxyAway } from './proxy-errors.ts';
import type { Proxy } from './proxy.ts';
import { directReach, proxyFor, type Reach } from './reach.ts';

export interface RouterDial {
  readonly address: { readonly host: string; readonly port: number };
  readonly reach?: Reach;
  /** Over all: name, connection, proxy. Milliseconds. */
  readonly withinMs: number;
  /** The socket stays writable when the router has ended. */
  readonly halfOpen: boolean;
  /**
   * While nobody answers, further connections are tried beside the first and the quickest is taken. Not for what a
   * thousand do at once: an overloaded listener answers late, and would be asked three times.
   */
  readonly beside?: boolean;
  readonly timers?: Timers;
  readonly signal: AbortSignal;
}

/**
 * The one way to a router's port: a TCP connection of its own, or one that a proxy made. Everything that talks to a
 * router goes through here, so that a machine behind a proxy needs no other way out.
 *
 * @returns a connected socket, paused, without delay, keep-alive 15 s. Through a proxy with TLS it is a TLSSocket.
 * @throws PAM_ROUTER_UNREACHABLE (`detail.why`), PAM_PROXY_UNREACHABLE, PAM_PROXY_REFUSED; `signal.reason` or
 *   PAM_INTERRUPTED when aborted. Nothing was sent to the router, nothing is left open.
 */
export async function dialRouter(options: RouterDial): Promise<Socket> {
  const { address, signal } = options;
  const shown = `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
  const proxy = proxyFor(options.reach ?? directReach, address);
  const away = (why: string, cause?: unknown): PamError =>
    proxy === null ? routerAway(shown, why, cause) : proxyAway(proxy, `cannot be reached (${why})`, cause);
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => undefined);
  const { host, port } = proxy ?? address;
  const keepAlive = { keepAlive: true, keepAliveInitialDelay: legLimits.keepAliveMs };
  const timers = options.timers ?? systemTimers;
  const connecting = firstConnected(
    () => connect({ host, port, allowHalfOpen: options.halfOpen, noDelay: true, ...keepAlive }),
    options.beside === true ? besideAfterMs : [],
    timers,
  );
  let onClose = (): void => undefined;
  const onAbort = (): void =>
    over.reject(PamError.from(signal.reason, 'PAM_INTERRUPTED', 'the connection was given up'));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const cancel = timers.after(options.withinMs, () => over.reject(late(proxy, shown)));
  const either = async <T>(work: Promise<T>): Promise<T> => Promise.race([over.promise, work]);
  let connected: Socket | null = null;
  try {
    const socket = await either(
      connecting.connected.catch((reason: NodeJS.ErrnoException) => {
        throw away(reason.code ?? reason.message, reason);
      }),
    );
    connected = socket;
    onClose = () => over.reject(away('closed'));
    socket.once('close', onClose);
    socket.on('error', (reason: NodeJS.ErrnoException) => over.reject(away(reason.code ?? reason.message, reason)));
    if (proxy === null) return socket;
    const inner = proxy.secure ? await either(secured(socket, proxy)) : socket;
    await either(passProxy(inner, proxy, { ...address, shown }));
    return inner;
  } catch (reason) {
    connecting.destroy();
    throw reason;
  } finally {
    cancel();
    signal.removeEventListener('abort', onAbort);
    connected?.off('close', onClose);
  }
}

/** TLS to the proxy itself. User and password go over it, so its certificate counts, whatever the environment says. */
function secured(socket: Socket, proxy: Proxy): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const tls = connectTls({
    socket,
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(proxy.host) === 0 ? { servername: proxy.host } : {}),
  });
  const fail = (reason: NodeJS.ErrnoException): void =>
    reject(
      proxyAway(
        proxy,
        `cannot be reached by TLS (${reason.code ?? reason.message})`,
        reason,
        'If it speaks plain HTTP, write http://; if its certificate is of an authority of your own, name its file in NODE_EXTRA_CA_CERTS.',
      ),
    );
  tls.on('error', fail);
  tls.once('secureConnect', () => resolve(tls));
  return promise;
}

function late(proxy: Proxy | null, shown: string): PamError {
  return proxy === null
    ? routerAway(shown, 'no answer in time')
    : proxyAway(proxy, `gave no connection to ${shown} in time`);
}

function routerAway(shown: string, why: string, cause?: unknown): PamError {
  return new PamError('PAM_ROUTER_UNREACHABLE', `no connection to the router at ${shown} (${why})`, {
    cause,
    detail: { address: shown, why, sent: 0 },
  });
}
