import { connect, createServer, type TLSSocket } from 'node:tls';
import type { Later } from '../process/cleanup.ts';

/**
 * Stands in front of a directory, with its key, and holds every Modify that comes after its making until it is let go: the
 * late write of finding F1. Everything before passes.
 */
export interface HoldingProxy {
  readonly host: string;
  readonly port: number;
  /** Resolves when a Modify waits. */
  waiting(): Promise<void>;
  release(): void;
}

const modifyTag = 0x66;

/** The end of the first message in `bytes` and the tag of its operation, or null while it is not whole. */
function firstMessage(bytes: Buffer): { readonly end: number; readonly operation: number } | null {
  const sizeOf = (at: number): { start: number; size: number } | null => {
    const first = bytes[at + 1];
    if (first === undefined) return null;
    const more = first < 0x80 ? 0 : first & 0x7f;
    if (bytes.byteLength < at + 2 + more) return null;
    return { start: at + 2 + more, size: more === 0 ? first : bytes.readUIntBE(at + 2, more) };
  };
  const whole = sizeOf(0);
  const id = whole === null ? null : sizeOf(whole.start);
  if (whole === null || id === null || bytes.byteLength < whole.start + whole.size) return null;
  return { end: whole.start + whole.size, operation: bytes[id.start + id.size] ?? 0 };
}

export async function startHoldingProxy(
  later: Later,
  target: { readonly host: string; readonly port: number },
  identity: { readonly key: Buffer; readonly cert: Buffer },
): Promise<HoldingProxy> {
  const { promise: waiting, resolve: nowWaiting } = Promise.withResolvers<void>();
  const sockets = new Set<TLSSocket>();
  const held: (() => void)[] = [];
  let isHolding = true;

  function pass(client: TLSSocket, server: TLSSocket): void {
    let bytes: Buffer = Buffer.alloc(0);
    const forward = (): void => {
      for (let message = firstMessage(bytes); message !== null; message = firstMessage(bytes)) {
        if (message.operation === modifyTag && isHolding) {
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
