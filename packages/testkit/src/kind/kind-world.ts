import { connect, type Socket } from 'node:net';
import { PamError } from '@sallyport/protocol';
import type { KindIo, ServerIdentity } from '@sallyport/rotation';
import type { FakeClock } from '../clock/fake-clock.ts';

/** A kind's whole outside: it dials for real, and keeps account of every socket. */
export interface KindWorld {
  readonly io: KindIo;
  /** Sockets that were dialled and are not closed. */
  openSockets(): number;
  /** Every socket ever dialled. */
  dialled(): number;
  readonly identities: readonly ServerIdentity[];
  /** Resolves when no socket is open. */
  allClosed(): Promise<void>;
  /** Ends every socket without a word, as the death of the process does. */
  die(): void;
}

const codes: Readonly<Record<string, 'PAM_TARGET_REFUSED' | 'PAM_TARGET_TIMEOUT'>> = {
  ECONNREFUSED: 'PAM_TARGET_REFUSED',
  ECONNRESET: 'PAM_TARGET_REFUSED',
  ETIMEDOUT: 'PAM_TARGET_TIMEOUT',
};

function dialFailure(reason: Error): PamError {
  const code = 'code' in reason && typeof reason.code === 'string' ? reason.code : '';
  return PamError.from(reason, codes[code] ?? 'PAM_TARGET_UNREACHABLE', `no connection (${code})`);
}

/**
 * @param clock - time that the test moves; real time without it.
 * @param refuses - the identity check says no to whatever it sees.
 */
export function kindWorld({ clock, refuses = false }: { clock?: FakeClock; refuses?: boolean } = {}): KindWorld {
  const sockets = new Set<Socket>();
  const identities: ServerIdentity[] = [];
  const waiting = new Set<() => void>();
  let dialled = 0;

  const dial: KindIo['dial'] = (host, port, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const socket = connect({ host, port, noDelay: true });
      dialled += 1;
      sockets.add(socket);
      const onAbort = (): void => {
        socket.destroy();
        reject(signal.reason);
      };
      const onError = (error: Error): void => reject(dialFailure(error));
      signal.addEventListener('abort', onAbort, { once: true });
      socket.once('error', onError);
      socket.once('connect', () => {
        socket.off('error', onError);
        signal.removeEventListener('abort', onAbort);
        resolve(socket.pause());
      });
      socket.once('close', () => {
        sockets.delete(socket);
        for (const check of waiting) check();
      });
    });

  return {
    io: {
      dial,
      nowMs: () => clock?.nowMs() ?? Date.now(),
      schedule: (ms, fn) => {
        if (clock !== undefined) return clock.after(ms, fn);
        const timer = setTimeout(fn, ms);
        return () => clearTimeout(timer);
      },
      identify: (seen) => {
        identities.push(seen);
        if (refuses) throw new PamError('PAM_TARGET_IDENTITY', 'the target holds another key than is pinned');
      },
    },
    identities,
    openSockets: () => sockets.size,
    dialled: () => dialled,
    allClosed: () =>
      new Promise((resolve) => {
        const check = (): void => {
          if (sockets.size > 0) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    die: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Moves `clock` on until `work` has ended, an hour at most; the network gets turns of its own between. */
export async function movedUntil<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  let isOver = false;
  const over = work.finally(() => {
    isOver = true;
  });
  over.catch(() => undefined);
  for (let second = 0; second < 3_600 && !isOver; second += 1) {
    await new Promise((resolve) => setTimeout(resolve, second < 60 ? 5 : 1));
    if (!isOver && second >= 30) await clock.advance(1_000);
  }
  if (!isOver) throw new Error('did not end within an hour of its own clock');
  return over;
}
