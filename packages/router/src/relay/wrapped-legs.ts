import { createServer, type Server } from 'node:https';
import { connect, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { legCarrier, legLimits, legMagic } from '@sallyport/protocol';
import { legOverWebSocket } from '@sallyport/stream';
import { WebSocketServer } from 'ws';
import { UndecidedSockets } from './undecided-sockets.ts';

/** Where the relay accepts, and how; all from the router's main process. */
export interface WrappedLegsOptions {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly relay: { readonly host: string; readonly port: number };
  /** What the relay wants to hear first from this host; empty when nothing. */
  readonly preface: string;
  /** Connections at most, legs or not. */
  readonly most: number;
  /** Those that have said nothing as a leg yet; one too many, and an old one goes. */
  readonly undecided?: { readonly most: number; readonly perAddress: number };
}

const limits = {
  handshakeMs: 10_000,
  headersMs: 5_000,
  headerBytes: 8_192,
  firstBytesMs: legLimits.preambleWithinMs,
} as const;

export interface WrappedLegs {
  /** A TLS client of which nothing was lost. */
  take(socket: Socket): void;
}

/**
 * Takes legs out of TLS and WebSocket and gives them to the relay as plain ones: a connection to the relay's own port for
 * each, with back-pressure both ways. A half-close passes as such; a break on either side breaks the other.
 *
 * @param after - runs something later; the answer cancels it.
 */
export function createWrappedLegs(
  options: WrappedLegsOptions,
  after: (ms: number, run: () => void) => () => void,
): WrappedLegs {
  // By their ends: TLS and HTTP show a connection in wrappings of their own.
  const sockets = new Map<string, Socket>();
  const undecided = new UndecidedSockets<string>(
    options.undecided ?? { most: legLimits.undecidedCarriers, perAddress: legLimits.undecidedPerAddress },
  );
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: legCarrier.messageBytes });
  const https: Server = createServer(
    {
      cert: options.certificatePem,
      key: options.privateKeyPem,
      minVersion: 'TLSv1.3',
      ALPNProtocols: [legCarrier.protocol],
      handshakeTimeout: limits.handshakeMs,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.headersMs,
      maxHeaderSize: limits.headerBytes,
    },
    (_request, response) => response.writeHead(426, { connection: 'close', upgrade: 'websocket' }).end(),
  );
  https.on('upgrade', (request, socket: Duplex, head) => {
    socket.on('error', () => socket.destroy());
    if (request.url !== legCarrier.path) {
      return void socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n', () => socket.destroy());
    }
    wss.handleUpgrade(request, socket, head, (ws) => {
      const decided = (): void => undecided.remove(endsOf(request.socket));
      carry(legOverWebSocket(ws), options, after, decided);
    });
  });
  https.on('tlsClientError', (_reason, socket) => socket.destroy());
  // Without it headersTimeout and requestTimeout never run on a server that does not listen.
  https.emit('listening');
  return {
    take: (socket) => {
      socket.on('error', () => socket.destroy());
      if (sockets.size >= options.most) return void socket.destroy();
      const ends = endsOf(socket);
      sockets.set(ends, socket);
      socket.once('close', () => {
        sockets.delete(ends);
        undecided.remove(ends);
      });
      const oldest = undecided.add(ends, socket.remoteAddress ?? '', 0);
      if (oldest !== null) sockets.get(oldest)?.destroy();
      https.emit('connection', socket);
    },
  };
}

function endsOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`;
}

/**
 * The relay is dialled when there is something to say to it: it waits for a preamble only so long. Only what begins like
 * a leg is passed on: the relay hears all of it from this host, and TLS or a PROXY header inside would be believed to be.
 */
function carry(
  leg: Duplex,
  options: WrappedLegsOptions,
  after: (ms: number, run: () => void) => () => void,
  decided: () => void,
): void {
  const cancel = after(limits.firstBytesMs, () => leg.destroy());
  leg.on('error', cancel);
  leg.on('close', cancel);
  leg.once('readable', () => {
    cancel();
    decided();
    const first = leg.read() as Buffer | null;
    if (first?.[0] !== legMagic[0]) leg.destroy();
    else leg.unshift(first);
    if (!leg.destroyed) join(leg, options);
  });
}

function join(leg: Duplex, { relay, preface }: WrappedLegsOptions): void {
  const plain = connect({ ...relay, allowHalfOpen: true, noDelay: true });
  if (preface !== '') plain.write(preface);
  leg.on('error', () => plain.resetAndDestroy());
  leg.on('close', () => {
    if (!leg.readableEnded || !leg.writableFinished) plain.resetAndDestroy();
  });
  plain.on('error', () => leg.destroy());
  plain.on('close', () => {
    if (!plain.readableEnded || !plain.writableFinished) leg.destroy();
  });
  leg.pipe(plain);
  plain.pipe(leg);
}
