import { connect, type Socket } from 'node:net';

/** How a connection ended for the program at the local end: a FIN, or an error code of the socket. */
type RawEnd = 'end' | (string & {});

/** A plain TCP connection that keeps what it received and how it ended. */
export interface RawConnection {
  readonly socket: Socket;
  received(): Buffer;
  /** Resolves at the FIN of the other side or at an error, whichever comes first. */
  readonly ended: Promise<RawEnd>;
}

/** Connects; half-open, so that each direction ends on its own. */
export async function connectRaw(port: number, host = '127.0.0.1'): Promise<RawConnection> {
  const socket = connect({ port, host, allowHalfOpen: true, noDelay: true });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
  const ended = new Promise<RawEnd>((resolve) => {
    socket.once('end', () => resolve('end'));
    socket.once('error', (error: Error & { readonly code?: string }) => resolve(error.code ?? error.message));
    socket.once('close', () => resolve('close'));
  });
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return { socket, received: () => Buffer.concat(chunks), ended };
}
