import { randomBytes } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import tls from 'node:tls';
import {
  createPeer,
  decodePreamble,
  errorCatalog,
  type LinkParams,
  type LinkResult,
  type MembershipView,
  PamError,
  type Peer,
  preambleBytes,
  protocolRange,
  toBase64url,
  toWireError,
} from '@sallyport/protocol';
import { newRouterIdentity, type RouterIdentity, verifyProof } from '@sallyport/seal';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Installation } from './installation.ts';

export const newTicket = (): string => toBase64url(new Uint8Array(randomBytes(32)));

/** What the router does differently from a good one; read each time. */
export interface Script {
  membership: MembershipView;
  refuseHello: PamError | null;
  clockOffsetMs: number;
  protocol: { min: number; max: number };
  /** Entries it shows; null: all. */
  entries: readonly string[] | null;
  wraps: LinkResult<'link.hello'>['wraps'] | null;
  answersPings: boolean;
  answersBye: boolean;
  refuseEvents: PamError | null;
  /** How a hello is refused while it names an entry that is not in the log shown; null: it is not. */
  refuseBehind: ((shown: number) => PamError) | null;
  refuseGivenBack: PamError | null;
  /** Does it have afterwards what it was given back? */
  takesGivenBack: boolean;
  beatMs: number;
  suspectMs: number;
}

export interface RouterLink {
  readonly call: Peer<'router'>['call'];
  readonly notify: Peer<'router'>['notify'];
  readonly hello: Promise<LinkParams<'link.hello'>>;
  readonly closed: Promise<void>;
  /** Cuts the link without a word. */
  cut(): void;
}

/** A router of one installation without any of the router's code: one port, control link, blind relay of legs. */
export interface ScriptedRouter {
  readonly port: number;
  readonly address: string;
  readonly identity: RouterIdentity;
  readonly script: Script;
  readonly links: RouterLink[];
  readonly events: LinkParams<'stream.events'>[];
  readonly byes: string[];
  /** Deadlines of drains that instances reported. */
  readonly drains: number[];
  /** Numbers of entries in each call that gave some back. */
  readonly givenBack: number[];
  /** Preambles of legs, by role, that came in. */
  readonly legs: string[];
  /** Waits for the next link that said hello. */
  nextLink(): Promise<RouterLink>;
  /** Legs of these two tickets are spliced. */
  pair(client: string, instance: string): void;
  readonly tokens: Map<string, Token>;
  /** Writes BIND(ticket) into the leg parked under `park`; resolves when it answered BOUND. */
  bind(park: string, ticket: string): Promise<void>;
  whenParked(park: string): Promise<void>;
  /** What a dying relay does: resets every leg. */
  cutLegs(): void;
  close(): Promise<void>;
}

/** A one-time token at the router: who redeemed it first may ask again until the acknowledgement. */
export interface Token {
  blob: string;
  redeemer: string | null;
  state: 'open' | 'expired' | 'used';
}

async function answerToken(request: IncomingMessage, tokens: Map<string, Token>): Promise<object> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { lookup } = JSON.parse(Buffer.concat(chunks).toString()) as { lookup: string };
  const url = request.url ?? '';
  const proof = String(request.headers['dpop']);
  const { jkt } = await verifyProof(proof, { method: 'POST', url, nowSeconds: Math.floor(Date.now() / 1_000) });
  const token = tokens.get(lookup);
  if (token === undefined) throw new PamError('PAM_TOKEN_UNKNOWN', 'this router does not know the token');
  if (token.state === 'expired') throw new PamError('PAM_TOKEN_EXPIRED', 'the token expired');
  if (token.state === 'used' || (token.redeemer !== null && token.redeemer !== jkt))
    throw new PamError('PAM_TOKEN_USED', 'the token was used');
  token.redeemer = jkt;
  if (url === '/v1/tokens/redeem') return { gateway: 'A'.repeat(22), blob: token.blob };
  token.state = 'used';
  return {};
}

export async function startScriptedRouter(
  installationOf: (identity: RouterIdentity) => Promise<Installation>,
  port = 0,
): Promise<ScriptedRouter & { readonly installation: Installation }> {
  const identity = await newRouterIdentity(['127.0.0.1'], Date.now());
  const installation = await installationOf(identity);
  const script: Script = {
    membership: { kind: 'slot', seq: 1, epoch: 1 },
    refuseHello: null,
    clockOffsetMs: 0,
    protocol: { ...protocolRange },
    entries: null,
    wraps: null,
    answersPings: true,
    answersBye: true,
    refuseEvents: null,
    refuseBehind: null,
    refuseGivenBack: null,
    takesGivenBack: true,
    beatMs: 100,
    suspectMs: 2_000,
  };
  const links: RouterLink[] = [];
  const events: LinkParams<'stream.events'>[] = [];
  const byes: string[] = [];
  const drains: number[] = [];
  const givenBack: number[] = [];
  const legs: string[] = [];
  const peers = new Map<string, string>();
  const legSockets = new Set<net.Socket>();
  const waiting = new Map<string, Socket>();
  const sockets = new Set<Socket>();
  const parked = new Map<string, Socket>();
  const parkWaiters = new Map<string, () => void>();
  let linkWaiters: ((link: RouterLink) => void)[] = [];

  function onLeg(socket: Socket, role: string, ticket: string): void {
    legs.push(role);
    if (role === 'echo') {
      socket.end(Uint8Array.of(6));
      return;
    }
    if (role === 'park') {
      socket.write(Uint8Array.of(7));
      parked.set(ticket, socket);
      parkWaiters.get(ticket)?.();
      return;
    }
    const other = peers.get(ticket);
    if (other === undefined) {
      socket.end(Uint8Array.of(2));
      return;
    }
    const partner = waiting.get(other);
    if (partner === undefined) {
      waiting.set(ticket, socket);
      return;
    }
    waiting.delete(other);
    for (const [a, b] of [
      [socket, partner],
      [partner, socket],
    ] as const) {
      a.write(Uint8Array.of(0));
      a.pipe(b);
      a.on('close', () => b.destroy());
      a.on('error', () => b.resetAndDestroy());
    }
  }

  const tokens = new Map<string, Token>();
  const http = createHttpServer((request, response) => {
    answerToken(request, tokens).then(
      (body) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
      (reason: unknown) => {
        const error = PamError.from(reason, 'PAM_INTERNAL', 'failed');
        response.writeHead(errorCatalog[error.code].http).end(JSON.stringify({ error: toWireError(error) }));
      },
    );
  });
  const wss = new WebSocketServer({ noServer: true, autoPong: false });
  const tlsServer = tls.createServer({ key: identity.privateKeyPem, cert: identity.certificatePem }, (socket) =>
    http.emit('connection', socket),
  );
  tlsServer.on('tlsClientError', () => undefined);
  http.on('upgrade', (request, socket, head) => wss.handleUpgrade(request, socket, head, (ws) => onLink(ws)));

  function onLink(ws: WebSocket): void {
    const { promise: hello, resolve: helloSaid } = Promise.withResolvers<LinkParams<'link.hello'>>();
    const { promise: closed, resolve: wasClosed } = Promise.withResolvers<void>();
    const entries = (): readonly string[] => script.entries ?? installation.entries;
    const shownHead = async () => {
      const n = entries().length - 1;
      return { n, hash: installation.log().hashes[n] ?? installation.head().hash };
    };
    const peer = createPeer<'router'>({
      side: 'router',
      send: (text) => ws.send(text),
      handlers: {
        'link.hello': async (params) => {
          helloSaid(params);
          if (script.refuseHello !== null) throw script.refuseHello;
          const { n: shown } = await shownHead();
          if (script.refuseBehind !== null && params.head.n > shown) throw script.refuseBehind(shown);
          const { membership, beatMs, suspectMs } = script;
          const counts = { maxInstances: 3, admitted: 1 };
          return {
            membership,
            ...counts,
            beatMs,
            suspectMs,
            head: await shownHead(),
            wraps: script.wraps ?? installation.wraps,
          };
        },
        'link.bye': async ({ reason }) => {
          byes.push(reason);
          if (!script.answersBye) await new Promise(() => undefined);
          return {};
        },
        'link.drain': async ({ deadlineInMs }) => {
          drains.push(deadlineInMs);
          return {};
        },
        'log.give-back': async ({ entries: given }) => {
          givenBack.push(given.length);
          if (script.refuseGivenBack !== null) throw script.refuseGivenBack;
          if (script.takesGivenBack) script.entries = [...entries(), ...given];
          return { head: await shownHead() };
        },
        'log.read': async ({ from }) => ({ entries: entries().slice(from, from + 500), head: await shownHead() }),
        'stream.events': async (params) => {
          if (script.refuseEvents !== null) throw script.refuseEvents;
          events.push(params);
          return {};
        },
      },
      schedule: (ms, fn) => {
        const timer = setTimeout(fn, ms);
        return () => clearTimeout(timer);
      },
      onBroken: () => ws.terminate(),
      onHandlerError: () => ws.terminate(),
    });
    ws.on('message', (data) => peer.receive(String(data)));
    ws.on('ping', (payload: Buffer) => {
      if (!script.answersPings) return;
      const pong = Buffer.alloc(8);
      payload.copy(pong, 0, 0, 4);
      pong.writeUInt32BE(script.beatMs, 4);
      ws.pong(pong);
    });
    ws.on('error', () => undefined);
    ws.on('close', () => {
      peer.close(new PamError('PAM_LEG_FAILED', 'closed'));
      wasClosed();
    });
    const link: RouterLink = { call: peer.call, notify: peer.notify, hello, closed, cut: () => ws.terminate() };
    links.push(link);
    void hello.then(() => {
      for (const waiter of linkWaiters) waiter(link);
      linkWaiters = [];
    });
    peer.notify('link.challenge', {
      nonce: newTicket(),
      timeMs: Date.now() + script.clockOffsetMs,
      version: '0.1.0',
      protocol: script.protocol,
      echoTicket: newTicket(),
    });
  }

  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    let have = Buffer.alloc(0);
    const peek = (): void => {
      const chunk: Buffer | null = socket.read();
      if (chunk !== null) have = Buffer.concat([have, chunk]);
      const seen = decodePreamble(have);
      if (seen.kind === 'incomplete') return;
      socket.off('readable', peek);
      if (seen.kind === 'tls') {
        socket.unshift(have);
        socket.allowHalfOpen = false;
        tlsServer.emit('connection', socket);
      } else if (seen.kind === 'leg') {
        legSockets.add(socket);
        socket.on('close', () => legSockets.delete(socket));
        if (have.length > preambleBytes) socket.unshift(have.subarray(preambleBytes));
        onLeg(socket, seen.role, toBase64url(seen.ticket));
      } else socket.destroy();
    };
    socket.on('readable', peek);
  });
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done));
  const bound = (server.address() as AddressInfo).port;
  return {
    port: bound,
    address: `127.0.0.1:${bound}`,
    identity,
    installation,
    script,
    links,
    events,
    byes,
    drains,
    givenBack,
    legs,
    tokens,
    nextLink: () => new Promise((resolve) => linkWaiters.push(resolve)),
    pair: (client, instance) => {
      peers.set(client, instance);
      peers.set(instance, client);
    },
    whenParked: (park) => (parked.has(park) ? Promise.resolve() : new Promise((done) => parkWaiters.set(park, done))),
    bind: async (park, ticket) => {
      const socket = parked.get(park);
      if (socket === undefined) throw new PamError('PAM_LEG_FAILED', 'not parked');
      socket.write(Uint8Array.of(8));
      socket.write(Buffer.from(ticket, 'base64url'));
      await new Promise<void>((done) => {
        socket.once('readable', () => {
          if (socket.read(1)?.[0] === 9) done();
        });
      });
      onLeg(socket, 'instance', ticket);
    },
    cutLegs: () => {
      for (const leg of legSockets) leg.resetAndDestroy();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((done) => server.close(() => done()));
    },
  };
}
