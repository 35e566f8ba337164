import { readFileSync } from 'node:fs';
import { legLimits } from '@sallyport/protocol';

/** How the relay divides its file descriptors: over budget is BUSY, never EMFILE (libuv then drops without a word). */
export interface DescriptorBudget {
  readonly descriptors: number;
  /** Sockets that have not said what they are. */
  readonly undecided: number;
  /** Legs of all roles: two per stream. */
  readonly legs: number;
  /** Part of `legs`. */
  readonly parked: number;
  /**
   * TLS connections that wait, or are on their way to the main process. Over `reserved` they borrow from `legs`: a leg
   * that needs the descriptor takes it from the one that came last.
   */
  readonly waiting: number;
  /** Kept for `waiting` whatever legs there are: who is full of streams must still be listed, and its streams ended. */
  readonly reserved: number;
}

/** Node's own: standard streams, epoll, IPC, event descriptors, the listener, and some to spare. */
const ownDescriptors = 48;
/** Connections that wait cost some KiB each; nobody serves more in the minute for which a client waits. */
const waitingAtMost = 32_768;
/** They come and go in milliseconds; a sixteenth of a small limit. */
const reservedAtMost = 128;
/** Where the system does not say. */
const usualDescriptors = 1_024;

/**
 * Divides `descriptors`.
 *
 * @param mostUndecided - bound from `legLimits`, where descriptors are plenty.
 */
export function divideDescriptors(descriptors: number, mostUndecided: number): DescriptorBudget {
  const free = Math.max(16, descriptors - ownDescriptors);
  const undecided = Math.min(mostUndecided, Math.floor(free / 4));
  const reserved = Math.min(reservedAtMost, Math.ceil(free / 16));
  const legs = free - undecided - reserved;
  const waiting = Math.min(waitingAtMost, reserved + Math.floor((legs * 3) / 4));
  return { descriptors, undecided, legs, parked: Math.floor(legs / 10), waiting, reserved };
}

/** TLS connections that may wait in the relay; it has the same limit of open files as the process that forks it. */
export function roomToWait(): number {
  return divideDescriptors(readDescriptorLimit(), legLimits.undecidedSockets).waiting;
}

/** The soft limit of open files of this process, from /proc/self/limits; Node has raised it to the hard one. */
export function readDescriptorLimit(): number {
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
    const limit = Number(line?.[1]);
    return Number.isSafeInteger(limit) ? Math.min(limit, 1_000_000) : usualDescriptors;
  } catch (reason) {
    if ((reason as NodeJS.ErrnoException).code === 'ENOENT') return usualDescriptors;
    throw reason;
  }
}
