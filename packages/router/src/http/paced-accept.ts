import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import type { WaitingConnection } from '../relay/index.ts';
import { type AcceptEvent, type AcceptSettings, newAcceptQueue, stepAccept, waitingIn } from './accept-queue.ts';

export interface PacedAcceptDeps extends AcceptSettings {
  readonly clock: Pick<Clock, 'monotonicMs' | 'after'>;
  /** Was an instance admitted from this address? */
  readonly isKnown: (address: string) => boolean;
  /** Each connection that was closed for want of room. */
  readonly closed?: () => void;
  readonly log: (message: string, fields: Record<string, number>) => void;
}

/** Refusals are logged at most this often. */
const logEveryMs = 10_000;

export interface PacedAccept {
  /**
   * @param letIn - when it is this connection's turn, with what was read of it; never called for one that closed
   *   meanwhile. It is under way until it calls `done` or the socket closes.
   */
  offer(waiting: WaitingConnection, letIn: (socket: Socket, early: Uint8Array, done: () => void) => void): void;
}

/** TLS connections that wait in the relay, taken over when whoever does their handshake can do it (accept-queue.ts). */
export function createPacedAccept(deps: PacedAcceptDeps): PacedAccept {
  const { clock } = deps;
  const queue = newAcceptQueue(deps, clock.monotonicMs());
  const comers = new Map<number, { readonly letIn: () => void; readonly refuse: () => void }>();
  let lastId = 0;
  let refused = 0;
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  let isWaking = false;

  function noteRefusal(): void {
    refused += 1;
    deps.closed?.();
    const nowMs = clock.monotonicMs();
    if (nowMs - loggedAtMs < logEveryMs) return;
    loggedAtMs = nowMs;
    const counts = { closed: refused, waiting: waitingIn(queue) };
    deps.log('more connections than may wait at this router: some were closed', counts);
  }
  function feed(event: AcceptEvent): void {
    const step = stepAccept(queue, event, clock.monotonicMs());
    for (const id of step.letIn) {
      comers.get(id)?.letIn();
      comers.delete(id);
    }
    for (const id of step.refused) {
      comers.get(id)?.refuse();
      comers.delete(id);
      noteRefusal();
    }
    if (step.wakeInMs === null || isWaking) return;
    isWaking = true;
    const dueAtMs = clock.monotonicMs() + step.wakeInMs;
    clock.after(step.wakeInMs, () => {
      isWaking = false;
      feed({ kind: 'tick', lateMs: clock.monotonicMs() - dueAtMs });
    });
  }

  return {
    offer: (waiting, letIn) => {
      lastId += 1;
      const id = lastId;
      const done = (): void => {
        comers.delete(id);
        feed({ kind: 'gone', id });
      };
      waiting.gone = done;
      comers.set(id, {
        letIn: () =>
          waiting.take((socket, early) => {
            socket.once('close', done);
            letIn(socket, early, done);
          }),
        refuse: waiting.refuse,
      });
      feed({ kind: 'came', id, address: waiting.address, known: deps.isKnown(waiting.address) });
    },
  };
}
