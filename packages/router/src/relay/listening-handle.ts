import * as net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { PamError } from '@sallyport/protocol';

/**
 * A bound TCP socket that this process never accepts on: the relay process listens on it, and when a relay dies the next
 * one listens on the same socket, with the connections that came meanwhile still waiting in it.
 *
 * Node's cluster module makes its handles with the same function; it has no documented name. A listening `net.Server`
 * will not do: the process that keeps one accepts on it.
 */
export interface ListeningHandle {
  readonly port: number;
  /** For `child.send`. */
  readonly handle: net.Server;
  close(): void;
}

interface TcpHandle {
  getsockname(out: { port?: number }): number;
  close(): void;
}
type CreateServerHandle = (
  host: string,
  port: number,
  family: 4 | 6,
  fd?: number,
  flags?: number,
) => TcpHandle | number;

/**
 * Binds.
 *
 * @throws PAM_PORT_IN_USE, PAM_CONFIG_INVALID when the address is not one of this host or may not be bound.
 */
export function bindListeningHandle(host: string, port: number): ListeningHandle {
  const { _createServerHandle: create } = net as unknown as { readonly _createServerHandle?: CreateServerHandle };
  if (typeof create !== 'function') {
    throw new PamError('PAM_INTERNAL', 'this Node version cannot share a listening socket with the relay process');
  }
  const handle = create(host, port, net.isIPv6(host) ? 6 : 4);
  if (typeof handle === 'number') throw unbound(host, port, handle);
  const name: { port?: number } = {};
  const problem = handle.getsockname(name);
  if (problem !== 0 || name.port === undefined) {
    handle.close();
    throw unbound(host, port, problem);
  }
  return { port: name.port, handle: handle as unknown as net.Server, close: () => handle.close() };
}

function unbound(host: string, port: number, problem: number): PamError {
  const name = problem < 0 ? getSystemErrorName(problem) : 'unknown';
  return name === 'EADDRINUSE'
    ? new PamError('PAM_PORT_IN_USE', `port ${port} on ${host} is taken by another process`)
    : new PamError('PAM_CONFIG_INVALID', `the router cannot listen on ${host}:${port} (${name})`);
}
