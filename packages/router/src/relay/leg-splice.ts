import type { Socket } from 'node:net';
import { legLimits } from '@sallyport/protocol';
import type { MatchBytes, MatchEnd } from './relay-messages.ts';
import type { RelaySocket } from './relay-socket.ts';

/** A leg and what it said behind its preamble. */
export interface RelayLeg {
  readonly link: RelaySocket;
  readonly early: readonly Uint8Array[];
}

/**
 * Copies bytes between two matched legs, without looking at them: at most 64 KiB per direction and turn of the event
 * loop (invariant S9), and never more than one read in memory: the next one waits until the kernel took it all. The end
 * of one leg ends the other; an error, a close without an end, `cut` or no progress resets both. `onEnded` comes once.
 */
export class LegSplice {
  readonly #up: Direction;
  readonly #down: Direction;
  readonly #onEnded: (why: MatchEnd, bytes: MatchBytes) => void;
  #closed = 0;
  #over = false;

  constructor(client: RelayLeg, instance: RelayLeg, onEnded: (why: MatchEnd, bytes: MatchBytes) => void) {
    this.#onEnded = onEnded;
    this.#up = new Direction(client, instance.link.socket);
    this.#down = new Direction(instance, client.link.socket);
    this.#watch(client.link.socket, instance.link.socket);
    this.#watch(instance.link.socket, client.link.socket);
  }

  start(): void {
    this.#up.start();
    this.#down.start();
  }

  get bytes(): MatchBytes {
    return { bytesUp: this.#up.bytes, bytesDown: this.#down.bytes };
  }

  cut(): void {
    this.#reset('cut');
  }

  /** Cuts a pair of which a direction has unsent bytes and took nothing for `noProgressMs`. */
  cutIfStuck(nowMs: number, noProgressMs: number): void {
    if (this.#up.isStuck(nowMs, noProgressMs) || this.#down.isStuck(nowMs, noProgressMs)) this.#reset('no-progress');
  }

  #watch(socket: Socket, other: Socket): void {
    socket.on('error', () => this.#reset('reset'));
    socket.on('close', () => {
      if (!socket.readableEnded || !other.readableEnded) this.#reset('reset');
      this.#closed++;
      if (this.#closed === 2) this.#end('closed');
    });
  }

  #reset(why: MatchEnd): void {
    if (this.#over) return;
    this.#up.reset();
    this.#down.reset();
    this.#end(why);
  }

  #end(why: MatchEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#onEnded(why, this.bytes);
  }
}

class Direction {
  bytes = 0;
  readonly #from: RelaySocket;
  readonly #early: readonly Uint8Array[];
  readonly #to: Socket;
  #turnBytes = 0;
  #turnSet = false;
  #stopped = false;
  #lastTaken = 0;
  #lastMovedAtMs = Number.NaN;

  constructor(leg: RelayLeg, to: Socket) {
    this.#from = leg.link;
    this.#early = leg.early;
    this.#to = to;
  }

  start(): void {
    const { socket } = this.#from;
    this.#from.useLargeReads();
    for (const bytes of this.#early) this.#copy(bytes);
    this.#from.onBytes = (bytes) => this.#copy(bytes);
    socket.on('end', () => this.#to.end());
    if (socket.readableEnded) this.#to.end();
    else if (this.#to.writableLength === 0) this.#from.read();
    else this.#stopped = true;
  }

  reset(): void {
    this.#from.socket.resetAndDestroy();
  }

  isStuck(nowMs: number, noProgressMs: number): boolean {
    const taken = this.bytes - this.#to.writableLength;
    if (taken !== this.#lastTaken || this.#to.writableLength === 0 || Number.isNaN(this.#lastMovedAtMs)) {
      this.#lastTaken = taken;
      this.#lastMovedAtMs = nowMs;
    }
    return nowMs - this.#lastMovedAtMs >= noProgressMs;
  }

  /** The buffer is free again when the kernel took all of it, usually within this call; else reading stops. */
  #copy(bytes: Uint8Array): boolean {
    this.bytes += bytes.length;
    this.#turnBytes += bytes.length;
    this.#to.write(bytes, this.#written);
    if (!this.#turnSet) {
      this.#turnSet = true;
      setImmediate(this.#nextTurn);
    }
    this.#stopped = this.#to.writableLength > 0 || this.#turnBytes >= legLimits.bytesPerTurn;
    return !this.#stopped;
  }

  readonly #nextTurn = (): void => {
    this.#turnSet = false;
    this.#turnBytes = 0;
    this.#readOn();
  };

  readonly #written = (): void => {
    if (this.#stopped) this.#readOn();
  };

  #readOn(): void {
    if (!this.#stopped || this.#to.writableLength > 0 || this.#turnBytes >= legLimits.bytesPerTurn) return;
    this.#stopped = false;
    this.#from.read();
  }
}
