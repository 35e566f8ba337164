import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  gatewayUidSchema,
  type InstanceId,
  newUid,
  type StreamId,
  streamIdSchema,
  toBase64url,
} from '@sallyport/protocol';
import { checkInstanceCertificate, newInstanceIdentity, newSessionIdentity, newSigningKey } from '@sallyport/seal';
import {
  connectLeg,
  connectLocal,
  createStreamContext,
  decodeTicket,
  type LegCarrier,
  openClientStream,
  runInstanceStream,
  type StreamOutcome,
} from '@sallyport/stream';
import type { Relay } from '../../src/relay/index.ts';

export const uid = (): string => newUid((length) => randomBytes(length));
export const newTicket = (): string => toBase64url(randomBytes(32));
export const never = new AbortController().signal;
const hash = toBase64url(new Uint8Array(32));

/** Certificates of one pool, one instance and one session, and what each end checks of the other. */
export async function makeEnds() {
  const gateway = gatewayUidSchema.parse(uid());
  const pool = await newSigningKey();
  const instance = await newInstanceIdentity(pool, gateway, Date.now());
  const session = await newSessionIdentity(Date.now());
  return {
    instance: instance.id,
    instanceContext: createStreamContext(instance),
    clientContext: createStreamContext(session),
    sessionKey: session.thumbprint,
    verifyInstance: async (der: Uint8Array): Promise<InstanceId> =>
      (await checkInstanceCertificate({ der, gateway, poolPublicJwk: pool.publicJwk, nowMs: Date.now() })).instance,
  };
}
export type Ends = Awaited<ReturnType<typeof makeEnds>>;

export interface Pipe {
  /** Our end of the user's connection. */
  readonly user: Socket;
  readonly clientOutcome: Promise<StreamOutcome>;
  readonly instanceOutcome: Promise<StreamOutcome>;
  readonly clientLeg: Duplex;
  readonly instanceLeg: Socket;
  readonly match: string;
}

export interface PipeOptions {
  readonly relay: Relay;
  readonly ends: Ends;
  readonly targetPort: number;
  readonly windowBytes?: number;
  /** What the client's leg travels in. */
  readonly carrier?: LegCarrier;
  readonly clientSignal?: AbortSignal;
  readonly instanceSignal?: AbortSignal;
}

/** Opens user → client → relay → instance → target, all but the relay in this process. */
export async function openPipe(options: PipeOptions): Promise<Pipe> {
  const { relay, ends } = options;
  const stream = streamIdSchema.parse(uid());
  const [client, instance] = [newTicket(), newTicket()];
  await relay.expect([
    { ticket: client, role: 'client', match: stream },
    { ticket: instance, role: 'instance', match: stream },
  ]);
  const address = { host: '127.0.0.1', port: relay.port };
  const [clientLeg, instanceLeg] = await Promise.all([
    options.carrier === undefined
      ? connectLeg({ address, role: 'client', ticket: decodeTicket(client), signal: never })
      : connectLeg({
          address,
          role: 'client',
          ticket: decodeTicket(client),
          carrier: options.carrier,
          signal: never,
        }),
    connectLeg({ address, role: 'instance', ticket: decodeTicket(instance), signal: never }),
  ]);
  const instanceOutcome = serve(options, stream, instanceLeg);
  const opening = await openClientStream({
    leg: clientLeg,
    context: ends.clientContext,
    verifyInstance: ends.verifyInstance,
    approveReady: () => undefined,
    stream,
    signal: never,
    ...(options.windowBytes === undefined ? {} : { windowBytes: options.windowBytes }),
  });
  if (opening.kind === 'refused') throw opening.error;
  const { near, far } = await socketPair();
  const clientOutcome = opening.stream.splice(far, options.clientSignal ?? never);
  return { user: near, clientOutcome, instanceOutcome, clientLeg, instanceLeg, match: stream };
}

function serve(options: PipeOptions, stream: StreamId, leg: Socket): Promise<StreamOutcome> {
  const { ends } = options;
  return runInstanceStream({
    leg,
    context: ends.instanceContext,
    sessionKey: ends.sessionKey,
    ready: { requestHash: hash, head: { n: 0, hash }, instance: ends.instance },
    stream,
    dial: async () => ({ kind: 'connected', socket: await dialTarget(options.targetPort) }),
    signal: options.instanceSignal ?? never,
    ...(options.windowBytes === undefined ? {} : { windowBytes: options.windowBytes }),
  });
}

async function dialTarget(port: number): Promise<Socket> {
  const socket = connectLocal({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  return socket;
}

export async function dialLocal(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Two ends of one TCP connection; both half-open and paused. */
export async function socketPair(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const near = await dialLocal(await listen(server));
  const [far] = await accepted;
  far.on('error', () => undefined);
  server.close();
  return { near, far };
}

export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** A target: `serve` gets every connection, half-open. */
export async function startTarget(serve: (socket: Socket) => void): Promise<{ port: number; close: () => void }> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => open.delete(socket));
    serve(socket);
  });
  return {
    port: await listen(server),
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
