/**
 * Load generator, a process of its own: bulk readers, a 1-byte ping-pong, new connections. Orders come over IPC.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export type LoadOrder =
  | { readonly kind: 'bulk'; readonly port: number; readonly streams: number; readonly bytesEach: number }
  | { readonly kind: 'round-trips'; readonly port: number; readonly count: number }
  | { readonly kind: 'connections'; readonly port: number; readonly count: number };
export interface LoadResult {
  readonly seconds: number;
  /** Milliseconds each; empty for bulk. */
  readonly samples: readonly number[];
  readonly failures: number;
}

process.on('disconnect', () => process.exit(0));
process.on('message', (order: LoadOrder) => {
  run(order).then(
    (result) => process.send?.({ kind: 'result', result }),
    (error: unknown) => process.send?.({ kind: 'failed', message: String(error) }),
  );
});
process.send?.({ kind: 'listening', port: 0 });

async function run(order: LoadOrder): Promise<LoadResult> {
  const start = performance.now();
  const samples: number[] = [];
  let failures = 0;
  if (order.kind === 'bulk') {
    const reads = Array.from({ length: order.streams }, () => readAll(order.port, order.bytesEach));
    failures = (await Promise.all(reads)).filter((bytes) => bytes !== order.bytesEach).length;
  } else if (order.kind === 'round-trips') {
    const socket = await dial(order.port);
    await exchange(socket, 'Ex');
    for (let i = 0; i < order.count; i++) samples.push(await exchange(socket, 'x'));
    socket.destroy();
  } else {
    for (let i = 0; i < order.count; i++) {
      const begun = performance.now();
      const socket = await dial(order.port);
      await exchange(socket, 'Ex');
      samples.push(performance.now() - begun);
      socket.destroy();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
  return { seconds: (performance.now() - start) / 1_000, samples, failures };
}

async function dial(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  await once(socket, 'connect');
  socket.on('error', () => undefined);
  return socket;
}

async function exchange(socket: Socket, text: string): Promise<number> {
  const begun = performance.now();
  const answer = once(socket, 'data');
  socket.write(text);
  await answer;
  return performance.now() - begun;
}

/** Reads into one buffer that is used again and again: the generator must not be what is measured. */
function readAll(port: number, length: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  let bytes = 0;
  const socket = connect({
    host: '127.0.0.1',
    port,
    onread: {
      buffer: Buffer.alloc(262_144),
      callback: (count) => {
        bytes += count;
        return true;
      },
    },
  });
  const order = Buffer.alloc(9, 0x44);
  order.writeBigUInt64BE(BigInt(length), 1);
  socket.on('connect', () => socket.write(order));
  socket.on('error', () => resolve(-1));
  socket.on('end', () => resolve(bytes));
  return promise;
}
