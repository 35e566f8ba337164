import { connect, createServer, type TLSSocket } from 'node:tls';
import type { Later } from '../process/cleanup.ts';

/**
 * Stands in front of a server, with its key, and holds every write until it is let go: the late write of finding F1.
 * Everything before passes.
 */
export interface HoldingProxy {
  readonly host: string;
  readonly port: number;
  /** Resolves when a write waits. */
  waiting(): Promise<void>;
  release(): void;
}

/** The first message of what a client said: where it ends, and whether it is one to hold; null while it is not whole, or nothing is there. */
export type NextMessage = (bytes: Buffer) => { readonly end: number; readonly isHeld: boolean } | null;

export async function startHoldingProxy(
  later: Later,
  target: { readonly host: string; readonly port: number },
  identity: { readonly key: Buffer; readonly cert: Buffer },
  nextMessage: NextMessage,
): Promise<HoldingProxy> {
  const { promise: waiting, resolve: nowWaiting } = Promise.withResolvers<void>();
  const sockets = new Set<TLSSocket>();
  const held: (() => void)[] = [];
  let isHolding = true;

  function pass(client: TLSSocket, server: TLSSocket): void {
    let bytes: Buffer = Buffer.alloc(0);
    const forward = (): void => {
      for (let message = nextMessage(bytes); message !== null; message = nextMessage(bytes)) {
        if (message.isHeld && isHolding) {
          client.pause();
          held.push(() => {
            forward();
            client.resume();
          });
          nowWaiting();
          return;
        }
        server.write(bytes.subarray(0, message.end));
        bytes = bytes.subarray(message.end);
      }
    };
    client.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      forward();
    });
    client.on('end', () => server.end());
    server.pipe(client);
  }

  const listener = createServer(identity, (client) => {
    const server = connect({ ...target, rejectUnauthorized: false });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => sockets.delete(socket));
    }
    pass(client, server);
  });
  listener.on('tlsClientError', () => {});
  await new Promise<void>((resolve, reject) => listener.once('error', reject).listen(0, '127.0.0.1', resolve));
  later(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => listener.close(() => resolve()));
  });
  const address = listener.address();
  return {
    host: '127.0.0.1',
    port: address !== null && typeof address === 'object' ? address.port : 0,
    waiting: () => waiting,
    release() {
      isHolding = false;
      for (const go of held.splice(0)) go();
    },
  };
}
