import type { Socket } from 'node:net';
import { legLimits } from '@sallyport/protocol';
import type { MatchBytes, MatchEnd } from './relay-messages.ts';
import type { SocketValve } from './socket-valve.ts';

/** A leg and what it said behind its preamble. */
export interface RelayLeg {
  readonly socket: Socket;
  readonly valve: SocketValve;
  readonly early: readonly Uint8Array[];
}

/**
 * Copies bytes between two matched legs, without looking at them: at most 64 KiB per direction and turn of the event
 * loop, at most one read in memory beyond what the slower socket holds. The end of one leg ends the other; an error, a
 * close without an end, `cut` or no progress resets both. `onEnded` is called once.
 */
export class LegSplice {
  readonly #up: Direction;
  readonly #down: Direction;
  readonly #onEnded: (why: MatchEnd, bytes: MatchBytes) => void;
  #closed = 0;
  #over = false;

  constructor(client: RelayLeg, instance: RelayLeg, onEnded: (why: MatchEnd, bytes: MatchBytes) => void) {
    this.#onEnded = onEnded;
    this.#up = new Direction(client, instance.socket);
    this.#down = new Direction(instance, client.socket);
    for (const [leg, other] of [
      [client, instance],
      [instance, client],
    ] as const) {
      leg.socket.on('error', () => this.#reset('reset'));
      leg.socket.on('close', () => this.#onClose(leg.socket, other.socket));
    }
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

  #onClose(socket: Socket, other: Socket): void {
    if (!socket.readableEnded || !other.readableEnded) this.#reset('reset');
    this.#closed++;
    if (this.#closed === 2) this.#end('closed');
  }

  #reset(why: MatchEnd): void {
    this.#up.socket.resetAndDestroy();
    this.#down.socket.resetAndDestroy();
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
  readonly socket: Socket;
  readonly #valve: SocketValve;
  readonly #early: readonly Uint8Array[];
  readonly #to: Socket;
  #turnBytes = 0;
  #turnSet = false;
  #blocked = false;
  #lastTaken = 0;
  #lastMovedAtMs = Number.NaN;

  constructor(leg: RelayLeg, to: Socket) {
    this.socket = leg.socket;
    this.#valve = leg.valve;
    this.#early = leg.early;
    this.#to = to;
  }

  start(): void {
    for (const bytes of this.#early) this.#copy(bytes);
    this.socket.on('data', this.#copy);
    this.socket.on('end', () => this.#to.end());
    if (this.socket.readableEnded) this.#to.end();
    this.#to.on('drain', this.#drained);
    this.#letRead();
  }

  isStuck(nowMs: number, noProgressMs: number): boolean {
    const taken = this.bytes - this.#to.writableLength;
    if (taken !== this.#lastTaken || this.#to.writableLength === 0 || Number.isNaN(this.#lastMovedAtMs)) {
      this.#lastTaken = taken;
      this.#lastMovedAtMs = nowMs;
    }
    return nowMs - this.#lastMovedAtMs >= noProgressMs;
  }

  readonly #copy = (bytes: Uint8Array): void => {
    this.bytes += bytes.length;
    this.#turnBytes += bytes.length;
    if (!this.#to.write(bytes)) this.#blocked = true;
    if (this.#blocked || this.#turnBytes >= legLimits.bytesPerTurn) this.#valve.close();
    if (!this.#turnSet) {
      this.#turnSet = true;
      setImmediate(this.#nextTurn);
    }
  };

  readonly #nextTurn = (): void => {
    this.#turnSet = false;
    this.#turnBytes = 0;
    this.#letRead();
  };

  readonly #drained = (): void => {
    this.#blocked = false;
    this.#letRead();
  };

  #letRead(): void {
    if (!this.#blocked && this.#turnBytes < legLimits.bytesPerTurn) this.#valve.open();
  }
}
