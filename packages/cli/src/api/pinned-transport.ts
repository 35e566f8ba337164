import { createHash, timingSafeEqual } from 'node:crypto';
import { Agent, type ClientRequestArgs, request } from 'node:http';
import { isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { PamError } from '@sallyport/protocol';
import { dialRouter, type Reach } from '@sallyport/stream';
import type { Clock } from '../time/clock.ts';
import { type Address, formatAddress } from './address.ts';
import {
  connectWithinMs,
  type HttpReply,
  type HttpRequest,
  replyLimitBytes,
  replyWithinMs,
  type Transport,
} from './transport.ts';

/**
 * HTTPS to the router, TLS 1.3 only. The certificate is compared with the pins by hand (SHA-256 of its public key) and
 * the socket is given to HTTP only after it passed: before that not a byte of a request has been written. Names,
 * dates and authorities in the certificate mean nothing.
 *
 * `pins` null is for the first sign-in on a device without a paper kit: the first key seen is kept for the life of the
 * transport, read with `seenPin()`, and must be compared with the trust log before anything is believed.
 */
export interface PinnedTransport extends Transport {
  seenPin(): string | null;
}

export function pinnedTransport(
  address: Address,
  pins: readonly string[] | null,
  deps: { readonly clock: Clock; readonly reach: Reach },
): PinnedTransport {
  const shown = formatAddress(address);
  let seen: string | null = null;
  const agent = new PinnedAgent(async () => {
    const { socket, pin } = await dialPinned(address, pins ?? (seen === null ? null : [seen]), deps);
    seen ??= pin;
    return socket;
  });
  return {
    address: shown,
    seenPin: () => seen,
    send: async (asked) => exchange(shown, agent, asked, deps.clock),
    close: () => agent.destroy(),
  };
}

class PinnedAgent extends Agent {
  readonly #dial: () => Promise<Socket>;

  constructor(dial: () => Promise<Socket>) {
    super({ keepAlive: true, maxSockets: 16, maxFreeSockets: 4, scheduling: 'lifo' });
    this.#dial = dial;
  }

  override createConnection(
    _options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#dial().then(
      (socket) => callback?.(null, socket),
      (reason: unknown) => callback?.(reason as Error, undefined as unknown as Duplex),
    );
  }
}

/**
 * Opens TLS 1.3 and compares the key. PAM_ROUTER_UNREACHABLE, PAM_PROXY_*, PAM_ROUTER_IMPOSTOR; nothing was sent either
 * way.
 *
 * @param pins - base64url SHA-256 of the SPKI; null takes any key.
 */
async function dialPinned(
  address: Address,
  pins: readonly string[] | null,
  deps: { readonly clock: Clock; readonly reach: Reach },
): Promise<{ readonly socket: TLSSocket; readonly pin: string }> {
  const shown = formatAddress(address);
  const raw = await dialRaw(address, shown, deps.reach);
  return new Promise((resolve, reject) => {
    const socket = connect({
      socket: raw,
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false,
      ...(isIP(address.host) === 0 ? { servername: address.host } : {}),
    });
    const fail = (error: PamError) => {
      cancel();
      socket.destroy();
      reject(error);
    };
    const cancel = deps.clock.after(connectWithinMs, () =>
      fail(unreachable(shown, `no answer within ${connectWithinMs / 1_000} s`, 0)),
    );
    socket.on('error', (reason: Error) => fail(unreachable(shown, socketWords(reason), 0, reason)));
    socket.on('close', () => fail(unreachable(shown, 'the connection was closed in the handshake', 0)));
    socket.once('secureConnect', () => {
      const der = socket.getPeerX509Certificate()?.publicKey.export({ type: 'spki', format: 'der' });
      const pin = der === undefined ? '' : createHash('sha256').update(der).digest('base64url');
      if (pin === '' || (pins !== null && !pins.some((known) => equalText(known, pin)))) {
        fail(
          new PamError(
            'PAM_ROUTER_IMPOSTOR',
            `the server at ${shown} does not hold the router's key; nothing was sent`,
            {
              detail: { address: shown, seen: pin },
            },
          ),
        );
        return;
      }
      cancel();
      socket.removeAllListeners('close');
      socket.removeAllListeners('error');
      socket.on('error', () => undefined);
      resolve({ socket, pin });
    });
  });
}

/** The connection under TLS; its errors in our words. */
async function dialRaw(address: Address, shown: string, reach: Reach): Promise<Socket> {
  try {
    const signal = new AbortController().signal;
    return await dialRouter({ address, reach, withinMs: connectWithinMs, halfOpen: false, beside: true, signal });
  } catch (reason) {
    if (!(reason instanceof PamError) || reason.code !== 'PAM_ROUTER_UNREACHABLE') throw reason;
    const why =
      reason.cause instanceof Error ? socketWords(reason.cause) : `no answer within ${connectWithinMs / 1_000} s`;
    throw unreachable(shown, why, 0, reason.cause);
  }
}

async function exchange(shown: string, agent: Agent, asked: HttpRequest, clock: Clock): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    if (asked.signal.aborted) {
      reject(new PamError('PAM_INTERRUPTED', 'interrupted'));
      return;
    }
    const outgoing = request({
      agent,
      method: asked.method,
      path: asked.path,
      headers: {
        host: shown,
        accept: 'application/json',
        ...asked.headers,
        ...(asked.body === null
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(asked.body).toString() }),
      },
    });
    const settle = (error: PamError | null, reply?: HttpReply) => {
      cancel();
      asked.signal.removeEventListener('abort', interrupt);
      if (error === null && reply !== undefined) resolve(reply);
      else {
        reject(error ?? new PamError('PAM_INTERNAL', 'no reply'));
        outgoing.destroy();
      }
    };
    const interrupt = () => settle(new PamError('PAM_INTERRUPTED', 'interrupted'));
    const cancel = clock.after(replyWithinMs, () =>
      settle(new PamError('PAM_TIMEOUT', `the router at ${shown} did not answer within ${replyWithinMs / 1_000} s`)),
    );
    asked.signal.addEventListener('abort', interrupt, { once: true });
    outgoing.on('error', (reason) =>
      settle(reason instanceof PamError ? reason : unreachable(shown, socketWords(reason), 1, reason)),
    );
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      incoming.on('data', (chunk: Buffer) => {
        bytes += chunk.byteLength;
        if (bytes > replyLimitBytes)
          settle(new PamError('PAM_TOO_LARGE', `the reply is over ${replyLimitBytes} bytes`));
        else chunks.push(chunk);
      });
      incoming.on('aborted', () => settle(unreachable(shown, 'the connection was lost in the reply', 1)));
      incoming.on('error', (reason) => settle(unreachable(shown, socketWords(reason), 1, reason)));
      incoming.on('end', () => {
        const headers = Object.fromEntries(
          Object.entries(incoming.headers).map(([name, value]) => [
            name,
            Array.isArray(value) ? value.join(', ') : (value ?? ''),
          ]),
        );
        settle(null, { status: incoming.statusCode ?? 0, headers, body: Buffer.concat(chunks).toString('utf8') });
      });
    });
    outgoing.end(asked.body ?? undefined);
  });
}

function unreachable(shown: string, why: string, sent: 0 | 1, cause?: unknown): PamError {
  return new PamError('PAM_ROUTER_UNREACHABLE', `the router at ${shown} cannot be reached: ${why}`, {
    cause,
    detail: { address: shown, sent },
  });
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection lost',
  ENOTFOUND: 'its name does not resolve',
  EAI_AGAIN: 'its name cannot be resolved now',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ETIMEDOUT: 'connection timed out',
  EACCES: 'not permitted here',
};

function socketWords(reason: Error): string {
  const code = 'code' in reason && typeof reason.code === 'string' ? reason.code : '';
  if (code.startsWith('ERR_SSL') || code === 'EPROTO') return `it does not speak TLS 1.3 (${code})`;
  return words[code] ?? (code || reason.message);
}

function equalText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
