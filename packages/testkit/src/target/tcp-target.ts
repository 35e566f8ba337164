import { createServer, type Server, type Socket } from 'node:net';
import type { Later } from '../process/cleanup.ts';

/** One accepted connection, as the target saw it. */
export interface Accepted {
  /** 1 for the first. */
  readonly number: number;
  readonly remotePort: number;
  readonly socket: Socket;
  /** What came in so far. */
  bytesIn: number;
  /** How it ended: by FIN, by a reset or another error, or not yet. */
  end: 'open' | 'fin' | 'reset';
}

/** A real server on a private loopback port that keeps account of what reached it. */
export interface TcpTarget {
  readonly host: string;
  readonly port: number;
  /** Every connection ever accepted, oldest first: proof that somebody dialled, or that nobody did. */
  readonly accepted: readonly Accepted[];
  openCount(): number;
  /** Resolves when `count` connections have been accepted in all. */
  whenAccepted(count: number): Promise<void>;
  close(): Promise<void>;
}

/** What a target does with one connection. Errors of the socket are already handled. */
export type Behaviour = (socket: Socket, accepted: Accepted) => void;

/** Sends back what it gets and half-closes after the other's FIN. */
export const echo: Behaviour = (socket) => void socket.pipe(socket);

/** Reads and throws away; answers nothing; half-closes after the other's FIN. */
export const sink: Behaviour = (socket) => void socket.resume().on('end', () => socket.end());

/** Accepts and never reads: its window closes, and the sender must feel it. */
export const neverReads: Behaviour = (socket) => void socket.pause();

/** Closes the connection with a reset as soon as it stands. */
export const resets: Behaviour = (socket) => void socket.resetAndDestroy();

/** Answers each byte with `factor` bytes: deadlocks a pipe that stops reading one way while it cannot write the other. */
export function amplifier(factor: number): Behaviour {
  return (socket) => {
    socket.on('data', (chunk: Buffer) => {
      if (!socket.write(Buffer.alloc(chunk.byteLength * factor, 0x61))) socket.pause();
    });
    socket.on('drain', () => socket.resume()).on('end', () => socket.end());
  };
}

/** Sends `length` bytes made from `chunk` as fast as they are taken, then FIN. */
export function sends(length: number, chunk: Uint8Array = Buffer.alloc(64 * 1024, 0x62)): Behaviour {
  return (socket) => {
    let left = length;
    const push = (): void => {
      while (left > 0) {
        const part = chunk.subarray(0, Math.min(left, chunk.byteLength));
        left -= part.byteLength;
        if (!socket.write(part)) return;
      }
      socket.off('drain', push).end();
    };
    socket.resume().on('drain', push);
    push();
  };
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('no port'));
      else resolve(address.port);
    });
  });
}

/** Starts a target. Its connections are cut and its port is closed at the latest when `later` runs. */
export async function startTcpTarget(
  later: Later,
  behaviour: Behaviour,
  { host = '127.0.0.1', port = 0 }: { readonly host?: string; readonly port?: number } = {},
): Promise<TcpTarget> {
  const accepted: Accepted[] = [];
  const waiting = new Set<() => void>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const entry: Accepted = {
      number: accepted.length + 1,
      remotePort: socket.remotePort ?? 0,
      socket,
      bytesIn: 0,
      end: 'open',
    };
    accepted.push(entry);
    socket.on('error', () => {
      entry.end = 'reset';
    });
    socket.on('end', () => {
      entry.end = 'fin';
    });
    behaviour(socket, entry);
    if (behaviour !== neverReads) socket.on('data', (chunk: Buffer) => void (entry.bytesIn += chunk.byteLength));
    for (const check of waiting) check();
  });
  const bound = await listen(server, host, port);
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      for (const { socket } of accepted) socket.destroy();
      server.close(() => resolve());
    });
  later(close);
  return {
    host,
    port: bound,
    accepted,
    openCount: () => accepted.filter(({ socket }) => !socket.destroyed).length,
    whenAccepted: (count) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (accepted.length < count) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    close,
  };
}
