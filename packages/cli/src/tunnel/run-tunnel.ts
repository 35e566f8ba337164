import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { PamError } from '@sallyport/protocol';
import type { Cli } from '../cli.ts';
import { plain } from '../terminal/terminal.ts';
import type { TunnelSession } from './tunnel-session.ts';

const touchEveryMs = 30_000;
/** How long streams are given to reset their ends when the tunnel stops. */
const stopWithinMs = 2_000;

/** A tunnel that carries connections. `ended` resolves with why it ended by itself; never rejects. */
export interface RunningTunnel {
  /** Carries one local connection; failures are printed once and reset the socket. */
  accept(socket: Socket): void;
  /** Carries one Duplex and answers how it ended. `opening` gives up while the stream is not open yet. */
  carry(local: Duplex, opening: AbortSignal): Promise<PamError | null>;
  readonly ended: Promise<PamError>;
  stop(): Promise<void>;
}

export function runTunnel(cli: Pick<Cli, 'clock' | 'terminal'>, session: TunnelSession): RunningTunnel {
  const all = new AbortController();
  const running = new Set<Promise<void>>();
  const ended = Promise.withResolvers<PamError>();
  let cancelTouch: () => void = () => undefined;

  const keep = async (): Promise<PamError | null> => {
    try {
      return await session.touch();
    } catch (reason) {
      if (reason instanceof Error) return null;
      throw reason;
    }
  };
  const touch = async () => {
    const over = await keep();
    if (over !== null) ended.resolve(over);
    else if (!all.signal.aborted) schedule();
  };
  const schedule = () => {
    cancelTouch = cli.clock.after(touchEveryMs, () => void touch(), { idle: true });
  };
  schedule();

  const carry = async (local: Duplex, opening: AbortSignal): Promise<PamError | null> => {
    const own = new AbortController();
    const stop = () => own.abort('stopped');
    const leave = () => own.abort('client-reset');
    all.signal.addEventListener('abort', stop, { once: true });
    opening.addEventListener('abort', leave, { once: true });
    if (all.signal.aborted) stop();
    if (opening.aborted) leave();
    try {
      const { opened } = await session.open(own.signal);
      opening.removeEventListener('abort', leave);
      const outcome = await opened.splice(local, own.signal);
      return outcome.error;
    } catch (reason) {
      return PamError.from(reason, 'PAM_INTERNAL', reason instanceof Error ? reason.message : 'the stream failed');
    } finally {
      all.signal.removeEventListener('abort', stop);
      opening.removeEventListener('abort', leave);
    }
  };

  const acceptOne = async (socket: Socket): Promise<void> => {
    const from = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? '?'}`;
    const gone = new AbortController();
    const leave = () => gone.abort();
    socket.on('error', leave);
    socket.on('close', leave);
    const error = await carry(socket, gone.signal);
    if (error === null) return;
    if (!socket.destroyed) socket.resetAndDestroy();
    if (error.code === 'PAM_INTERRUPTED') return;
    cli.terminal.err(`connection from ${from}: ${plain(error.message)}; ${plain(error.remedy)} (${error.code})\n`);
  };

  return {
    accept: (socket) => {
      const work = acceptOne(socket).finally(() => running.delete(work));
      running.add(work);
    },
    carry,
    ended: ended.promise,
    stop: async () => {
      all.abort();
      cancelTouch();
      await within(cli, Promise.allSettled([...running]));
      await within(cli, Promise.allSettled([session.end()]));
    },
  };
}

async function within(cli: Pick<Cli, 'clock'>, work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const cancel = cli.clock.after(stopWithinMs, () => late.resolve());
  await Promise.race([work, late.promise]);
  cancel();
}
