import { connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Later } from '../process/cleanup.ts';

/** What the proxy does with a CONNECT; anything else than `honest` is a fault. */
export type ProxyManner =
  | { readonly kind: 'honest' }
  /** Says no, with these fields. */
  | { readonly kind: 'refuses'; readonly status: string; readonly fields?: readonly string[] }
  /** Connects to another place than was asked for, and says nothing of it. */
  | { readonly kind: 'leads-to'; readonly host: string; readonly port: number }
  /** Connects, but its answer comes one byte at a time. */
  | { readonly kind: 'dribbles' }
  | { readonly kind: 'silent' }
  | { readonly kind: 'closes' }
  /** Says this, whatever was asked, and keeps the connection. */
  | { readonly kind: 'says'; readonly bytes: string | Uint8Array }
  /** Field after field, for ever. */
  | { readonly kind: 'endless' };

export interface ConnectProxyOptions {
  /** Asks for this `USER:PASSWORD` by Basic. */
  readonly login?: string;
  /** Speaks TLS with this certificate. */
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly listen?: string;
  /** Told of every place that is asked for. */
  readonly onAsked?: (place: string) => void;
}

/** A real HTTP proxy that knows CONNECT alone: RFC 9110, section 9.3.6. */
export interface ConnectProxy {
  readonly host: string;
  readonly port: number;
  /** With user and password when it asks for them. */
  readonly url: string;
  /** Heads of all requests so far, as they came. */
  requests(): readonly string[];
  /** Places that were asked for, `HOST:PORT`. */
  asked(): readonly string[];
  openCount(): number;
  behave(manner: ProxyManner): void;
}

const headMost = 16_384;

export async function startConnectProxy(later: Later, options: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  let manner: ProxyManner = { kind: 'honest' };

  const serve = (client: Socket): void => {
    keep(sockets, client);
    let have = Buffer.alloc(0);
    const onData = (bytes: Buffer): void => {
      have = Buffer.concat([have, bytes]);
      const end = have.indexOf('\r\n\r\n');
      if (end < 0) {
        if (have.length > headMost) client.destroy();
        return;
      }
      client.off('data', onData);
      client.pause();
      const head = have.toString('latin1', 0, end);
      requests.push(head);
      options.onAsked?.(placeOf(head));
      answer(client, head, have.subarray(end + 4));
    };
    client.on('data', onData);
  };

  function answer(client: Socket, head: string, early: Buffer): void {
    const [, host = '', digits = ''] = /^CONNECT \[?([^\s\]]+)\]?:(\d+) HTTP\/1\.1\r\n/.exec(head) ?? [];
    if (host === '') return refuse(client, '400 Bad Request');
    if (options.login !== undefined && !head.includes(`\r\nProxy-Authorization: ${basic(options.login)}`)) {
      return refuse(client, '407 Proxy Authentication Required', ['Proxy-Authenticate: Basic realm="lab"']);
    }
    switch (manner.kind) {
      case 'honest':
      case 'dribbles':
        return join(client, { host, port: Number(digits) }, early, manner.kind === 'dribbles');
      case 'leads-to':
        return join(client, manner, early, false);
      case 'refuses':
        return refuse(client, manner.status, manner.fields);
      case 'silent':
        return wait(client);
      case 'closes':
        return void client.destroy();
      case 'says':
        client.write(manner.bytes);
        return wait(client);
      case 'endless':
        client.write('HTTP/1.1 200 OK\r\n');
        wait(client);
        return pour(client);
      default:
        manner satisfies never;
    }
  }

  function join(
    client: Socket,
    place: { readonly host: string; readonly port: number },
    early: Buffer,
    dribbles: boolean,
  ): void {
    const server = connect({ host: place.host, port: place.port, allowHalfOpen: true, noDelay: true });
    keep(sockets, server);
    server.once('error', () => refuse(client, '502 Bad Gateway'));
    server.once('connect', () => {
      server.removeAllListeners('error');
      for (const [from, to] of [
        [server, client],
        [client, server],
      ] as const) {
        from.on('error', () => to.destroy());
        from.on('close', () => (from.readableEnded ? undefined : to.destroy()));
      }
      const go = (): void => {
        server.write(early);
        client.pipe(server);
        server.pipe(client);
      };
      const said = Buffer.from('HTTP/1.1 200 Connection established\r\nVia: 1.1 lab\r\n\r\n');
      if (dribbles) dribble(client, said, go);
      else client.write(said, go);
    });
  }

  const server: Server =
    options.tls === undefined
      ? createServer({ allowHalfOpen: true, noDelay: true }, serve)
      : createTlsServer({ ...options.tls, allowHalfOpen: true }, serve);
  server.on('connection', (raw: Socket) => keep(sockets, raw)).on('tlsClientError', () => undefined);
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen(0, options.listen ?? '127.0.0.1', resolve),
  );
  later(
    () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  );
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const host = options.listen ?? '127.0.0.1';
  const login = options.login === undefined ? '' : `${options.login.split(':').map(encodeURIComponent).join(':')}@`;
  return {
    host,
    port,
    url: `${options.tls === undefined ? 'http' : 'https'}://${login}${host}:${port}`,
    requests: () => [...requests],
    asked: () => requests.map(placeOf),
    openCount: () => sockets.size,
    behave: (next) => {
      manner = next;
    },
  };
}

function placeOf(head: string): string {
  return /^CONNECT (\S+)/.exec(head)?.[1] ?? '';
}

function keep(sockets: Set<Socket>, socket: Socket): void {
  sockets.add(socket);
  socket.on('error', () => socket.destroy());
  socket.on('close', () => sockets.delete(socket));
}

/** Does nothing more, until the client leaves. */
function wait(client: Socket): void {
  client.on('end', () => client.destroy());
  client.resume();
}

function basic(login: string): string {
  return `Basic ${Buffer.from(login).toString('base64')}`;
}

function refuse(client: Socket, status: string, fields: readonly string[] = []): void {
  client.end(`HTTP/1.1 ${status}\r\n${fields.map((field) => `${field}\r\n`).join('')}Content-Length: 0\r\n\r\n`);
  client.resume();
}

function dribble(client: Socket, bytes: Buffer, done: () => void): void {
  if (bytes.length === 0) return done();
  client.write(bytes.subarray(0, 1), () => setImmediate(() => dribble(client, bytes.subarray(1), done)));
}

function pour(client: Socket): void {
  if (!client.destroyed) client.write(`X-More: ${'x'.repeat(1_000)}\r\n`, () => setImmediate(() => pour(client)));
}
