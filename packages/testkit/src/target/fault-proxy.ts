import { connect, createServer, type Socket } from 'node:net';
import type { Later } from '../process/cleanup.ts';

/**
 * A TCP proxy that breaks connections the ways a network does: the kernel here has no netem.
 * Bytes pass unchanged until a fault is asked for.
 */
export interface FaultProxy {
  readonly host: string;
  readonly port: number;
  openCount(): number;
  /** Bytes passed so far, towards the server and back. */
  passed(): { readonly up: number; readonly down: number };
  /** Nothing passes either way, nothing closes: a firewall that lost its state. */
  freeze(): void;
  thaw(): void;
  /** Ends every connection at once: with FIN both ways, or with a reset both ways. */
  cut(how: 'fin' | 'reset'): void;
  /** Resets each connection when `bytes` in all (both ways) have passed on it; the bytes before still arrive. */
  cutAfter(bytes: number): void;
  /** Every chunk is held back this long, both ways. */
  delay(ms: number): void;
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  bytes: number;
}

export async function startFaultProxy(
  later: Later,
  target: { readonly host: string; readonly port: number },
): Promise<FaultProxy> {
  const pairs = new Set<Pair>();
  const total = { up: 0, down: 0 };
  let frozen = false;
  let limit = Number.POSITIVE_INFINITY;
  let delayMs = 0;

  function destroy(pair: Pair, how: 'fin' | 'reset'): void {
    pairs.delete(pair);
    for (const socket of [pair.client, pair.server]) {
      if (how === 'reset') socket.resetAndDestroy();
      else socket.end();
    }
  }

  function pass(pair: Pair, from: Socket, to: Socket, way: 'up' | 'down', chunk: Buffer): void {
    const room = limit - pair.bytes;
    const part = chunk.subarray(0, Math.min(chunk.byteLength, Math.max(0, room)));
    pair.bytes += part.byteLength;
    total[way] += part.byteLength;
    const isOver = part.byteLength < chunk.byteLength || pair.bytes >= limit;
    const isWritable = to.write(part, () => {
      if (isOver) destroy(pair, 'reset');
    });
    if (!isWritable) {
      from.pause();
      to.once('drain', () => {
        if (!frozen) from.resume();
      });
    }
  }

  function join(pair: Pair, from: Socket, to: Socket, way: 'up' | 'down'): void {
    const soon = (work: () => void): void => {
      if (delayMs === 0) work();
      else setTimeout(work, delayMs);
    };
    from.on('data', (chunk: Buffer) => soon(() => pass(pair, from, to, way, chunk)));
    from.on('end', () => soon(() => to.end()));
    from.on('error', () => to.resetAndDestroy());
    from.on('close', () => {
      if (!frozen && from.destroyed && to.destroyed) pairs.delete(pair);
    });
  }

  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const server = connect({ ...target, allowHalfOpen: true, noDelay: true });
    const pair: Pair = { client, server, bytes: 0 };
    pairs.add(pair);
    join(pair, client, server, 'up');
    join(pair, server, client, 'down');
    if (frozen) for (const socket of [client, server]) socket.pause();
  });
  await new Promise<void>((resolve, reject) => listener.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      for (const { client, server } of pairs) for (const socket of [client, server]) socket.destroy();
      listener.close(() => resolve());
    });
  later(close);
  return {
    host: '127.0.0.1',
    port: address !== null && typeof address === 'object' ? address.port : 0,
    openCount: () => pairs.size,
    passed: () => ({ ...total }),
    freeze() {
      frozen = true;
      for (const { client, server } of pairs) for (const socket of [client, server]) socket.pause();
    },
    thaw() {
      frozen = false;
      for (const { client, server } of pairs) for (const socket of [client, server]) socket.resume();
    },
    cut(how) {
      for (const pair of pairs) destroy(pair, how);
    },
    cutAfter(bytes) {
      limit = bytes;
    },
    delay(ms) {
      delayMs = ms;
    },
    close,
  };
}
