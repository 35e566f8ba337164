import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { type AcceptEvent, newAcceptQueue, stepAccept } from './accept-queue.ts';

export interface PacedAcceptDeps {
  readonly clock: Pick<Clock, 'monotonicMs' | 'after'>;
  /** Handshakes a second, and how many at once after a quiet time. */
  readonly perSecond: number;
  readonly burst: number;
  /** Was an instance admitted from where this socket really comes from? */
  readonly isKnown: (socket: Socket) => boolean;
  /** Each socket that was closed for want of a turn. */
  readonly closed?: () => void;
  readonly log: (message: string, fields: Record<string, number>) => void;
}

/** Refusals are logged at most this often. */
const logEveryMs = 10_000;

export interface PacedAccept {
  /** @param letIn - starts the handshake, when it is this socket's turn; never called for one that closed meanwhile. */
  offer(socket: Socket, letIn: (socket: Socket) => void): void;
}

/** Sockets that the relay took for TLS, handed on to whoever does their handshake at a bounded rate (accept-queue.ts). */
export function createPacedAccept(deps: PacedAcceptDeps): PacedAccept {
  const { clock } = deps;
  const queue = newAcceptQueue(deps.perSecond, deps.burst, clock.monotonicMs());
  const waiting = new Map<number, { readonly socket: Socket; readonly letIn: (socket: Socket) => void }>();
  let lastId = 0;
  let refused = 0;
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  let isWaking = false;

  function take(id: number) {
    const taken = waiting.get(id);
    waiting.delete(id);
    return taken;
  }
  function noteRefusal(): void {
    refused += 1;
    deps.closed?.();
    const nowMs = clock.monotonicMs();
    if (nowMs - loggedAtMs < logEveryMs) return;
    loggedAtMs = nowMs;
    deps.log('more connections than this router accepts: some were closed', { closed: refused, waiting: waiting.size });
  }
  function feed(event: AcceptEvent): void {
    const step = stepAccept(queue, event, clock.monotonicMs());
    for (const id of step.letIn) {
      const taken = take(id);
      taken?.letIn(taken.socket);
    }
    for (const id of step.refused) {
      take(id)?.socket.destroy();
      noteRefusal();
    }
    if (step.wakeInMs === null || isWaking) return;
    isWaking = true;
    clock.after(step.wakeInMs, () => {
      isWaking = false;
      feed({ kind: 'tick' });
    });
  }

  return {
    offer: (socket, letIn) => {
      lastId += 1;
      const id = lastId;
      waiting.set(id, { socket, letIn });
      socket.once('close', () => {
        if (take(id) !== undefined) feed({ kind: 'gone', id });
      });
      feed({ kind: 'came', id, known: deps.isKnown(socket) });
    },
  };
}
