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

/** The ends of a connection as one text, the same for a socket and for TLS on it. */
export function endsOf({ remoteAddress, remotePort, localAddress }: Ends): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

export function createClientAddresses(): ClientAddresses {
  const said = new Map<string, string>();
  return {
    note: (socket, address) => {
      const key = endsOf(socket);
      said.set(key, address);
      socket.once('close', () => said.delete(key));
    },
    of: (socket) => said.get(endsOf(socket)) ?? (socket.remoteAddress ?? 'unknown').replace(/^::ffff:/, ''),
  };
}
