import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';

/** A user's connection to the echo of the bench's target. */
export interface EchoConnection {
  /** Sends fresh random bytes and waits for the first of the answer, then for the rest; false when it is not the same. */
  exchange(): Promise<{ readonly isSame: boolean; readonly firstByteAtMs: number }>;
  /** How it ended: `end`, `close`, or the code of an error. */
  readonly ended: Promise<string>;
  close(): void;
}

const answerWithinMs = 15_000;
const tokenBytes = 16;

/** Connects without waiting: the first exchange includes the time to connect. Never rejects; ends are answers. */
export function openEcho(port: number): EchoConnection {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  let received = Buffer.alloc(0);
  let firstByteAtMs = Number.NaN;
  let look: () => void = () => undefined;
  let isFirst = true;
  let isOver = false;
  const ended = new Promise<string>((resolve) => {
    const end = (how: string): void => {
      isOver = true;
      resolve(how);
      look();
    };
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    socket.once('end', () => end('end'));
    socket.once('close', () => end('close'));
  });
  socket.on('data', (bytes: Buffer) => {
    if (received.byteLength === 0) firstByteAtMs = performance.now();
    received = Buffer.concat([received, bytes]);
    look();
  });
  return {
    exchange: () =>
      new Promise((resolve) => {
        const token = randomBytes(tokenBytes);
        received = Buffer.alloc(0);
        firstByteAtMs = Number.NaN;
        const finish = (): void => {
          clearTimeout(timer);
          look = () => undefined;
          resolve({ isSame: received.equals(token), firstByteAtMs });
        };
        const timer = setTimeout(finish, answerWithinMs);
        look = () => {
          if (isOver || received.byteLength >= tokenBytes) finish();
        };
        socket.write(isFirst ? Buffer.concat([Buffer.from('E'), token]) : token);
        isFirst = false;
        look();
      }),
    ended,
    close: () => void socket.destroy(),
  };
}
