import type { Socket } from 'node:net';

type Ends = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress'>;

/**
 * Where connections really come from. TLS wraps a socket in another one and neither knows what a balancer said before;
 * both have the same ends, and no two connections to one port have.
 */
export interface ClientAddresses {
  /** Notes what a balancer said of this connection, as long as it lasts. */
  note(socket: Socket, address: string): void;
  /** The client's address; IPv4 in its usual form. */
  of(socket: Ends): string;
}

export function createClientAddresses(): ClientAddresses {
  const said = new Map<string, string>();
  const keyOf = ({ remoteAddress, remotePort, localAddress }: Ends): string =>
    `${remoteAddress} ${remotePort} ${localAddress}`;
  return {
    note: (socket, address) => {
      const key = keyOf(socket);
      said.set(key, address);
      socket.once('close', () => said.delete(key));
    },
    of: (socket) => said.get(keyOf(socket)) ?? (socket.remoteAddress ?? 'unknown').replace(/^::ffff:/, ''),
  };
}
