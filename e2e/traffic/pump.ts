import type { Socket } from 'node:net';
import { Pattern, type StreamEnd, type StreamOrder, type StreamSight } from './pattern.ts';

const turnMs = 20;
const blockBytes = 64 * 1024;

/** Both directions of one traffic stream at one end. */
export interface Pump {
  /** Bytes that came with the order, for the target. */
  take(bytes: Buffer): void;
  sight(): StreamSight;
  /** Longest time in which nothing came, since the last mark, while something was to come; ms. */
  longestGapMs(): number;
  mark(): void;
  giveUp(): void;
  /** Once, when the connection is over. */
  readonly over: Promise<StreamEnd>;
}

/** Sends its own pattern at the pace of the order and ends with FIN; checks the other's byte by byte. */
export function pump(socket: Socket, order: StreamOrder, side: 'user' | 'target'): Pump {
  const outgoing = new Pattern(order.id, side === 'user' ? 'up' : 'down');
  const incoming = new Pattern(order.id, side === 'user' ? 'down' : 'up');
  const toSend = side === 'user' ? order.up : order.down;
  const toCome = side === 'user' ? order.down : order.up;
  let wrongAt: number | null = null;
  let heardAtMs = performance.now();
  let gapMs = 0;
  let finAfter: number | null = null;
  let isGivenUp = false;
  let error = '';
  const noteGap = (): void => {
    const nowMs = performance.now();
    if (incoming.given < toCome) gapMs = Math.max(gapMs, nowMs - heardAtMs);
    heardAtMs = nowMs;
  };
  const take = (bytes: Buffer): void => {
    noteGap();
    wrongAt ??= incoming.check(bytes);
  };
  const stopSending = send(socket, outgoing, toSend, order.bytesPerSecond);
  socket.on('data', take);
  const over = new Promise<StreamEnd>((resolve) => {
    socket.on('end', () => void (finAfter ??= incoming.given));
    socket.on('error', (reason: NodeJS.ErrnoException) => void (error = reason.code ?? reason.message));
    socket.on('close', () => {
      stopSending();
      if (isGivenUp) resolve('given-up');
      else if (error !== '') resolve(error);
      else resolve(finAfter === null ? 'closed' : 'fin');
    });
  });
  return {
    take,
    sight: () => ({ id: order.id, received: incoming.given, sent: outgoing.given, wrongAt, finAfter }),
    longestGapMs: () => {
      // What is still going on counts too.
      const running = incoming.given < toCome && !socket.destroyed ? performance.now() - heardAtMs : 0;
      return Math.max(gapMs, running);
    },
    mark: () => {
      heardAtMs = performance.now();
      gapMs = 0;
    },
    giveUp: () => {
      isGivenUp = true;
      socket.resetAndDestroy();
    },
    over,
  };
}

function send(socket: Socket, pattern: Pattern, length: number, bytesPerSecond: number): () => void {
  const perTurn = bytesPerSecond === 0 ? Number.POSITIVE_INFINITY : Math.max(1, (bytesPerSecond * turnMs) / 1_000);
  let isBlocked = false;
  let timer: NodeJS.Timeout | null = null;
  const stop = (): void => {
    if (timer !== null) clearInterval(timer);
    timer = null;
    socket.off('drain', unblock);
  };
  const push = (): void => {
    let left = perTurn;
    while (!isBlocked && left >= 1 && pattern.given < length) {
      const part = Math.floor(Math.min(blockBytes, left, length - pattern.given));
      left -= part;
      isBlocked = !socket.write(pattern.next(part));
    }
    if (pattern.given < length) return;
    stop();
    socket.end();
  };
  const unblock = (): void => {
    isBlocked = false;
    if (bytesPerSecond === 0) push();
  };
  socket.on('drain', unblock);
  if (bytesPerSecond > 0) timer = setInterval(push, turnMs);
  push();
  return stop;
}
