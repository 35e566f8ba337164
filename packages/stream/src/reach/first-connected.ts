import type { Socket } from 'node:net';
import type { Timers } from '../run/system-timers.ts';

/**
 * When further connections are tried beside one that nobody answered, ms after the first. A SYN that is lost is sent
 * again by the system after 1 s, then 3 s (RFC 6298, section 2); where packets are lost that is most of the time that a
 * stream takes to open.
 */
export const besideAfterMs: readonly number[] = [250, 750];

export interface Connecting {
  /** The first that is connected; rejects with the first word against: a refusal is one, whoever got it. */
  readonly connected: Promise<Socket>;
  /** Closes all but the one that was connected first, and tries no more. */
  settle(): void;
  destroy(): void;
}

/**
 * Connects once, and again beside it while nobody answers.
 *
 * @param connect - begins one connection.
 * @param besideMs - when each further one begins; none: once only.
 */
export function firstConnected(connect: () => Socket, besideMs: readonly number[], timers: Timers): Connecting {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  promise.catch(() => undefined);
  const begun = new Set<Socket>();
  let winner: Socket | null = null;
  const begin = (): void => {
    const socket = connect();
    begun.add(socket);
    socket.on('error', reject);
    const onClose = (): void => reject(new Error('closed'));
    socket.once('close', onClose);
    socket.once('connect', () => {
      socket.off('close', onClose);
      if (winner !== null) return;
      winner = socket;
      settle();
      resolve(socket);
    });
  };
  const cancels = besideMs.map((ms) => timers.after(ms, begin));
  const settle = (): void => {
    for (const cancel of cancels) cancel();
    for (const socket of begun) if (socket !== winner) socket.destroy();
  };
  begin();
  return {
    connected: promise,
    settle,
    destroy: () => {
      settle();
      winner?.destroy();
    },
  };
}
