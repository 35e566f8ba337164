import type { Socket } from 'node:net';
import { legLimits } from '@sallyport/protocol';
import type { RelaySocket } from './relay-socket.ts';

/** A TLS connection of which nobody has taken more than was read to tell what it is. */
export interface TlsArrival {
  readonly early: Uint8Array;
  /** Its address as a balancer told it; null when it is the socket's own. */
  readonly from: string | null;
  /** ALPN says that it carries a leg. */
  readonly isLeg: boolean;
}

interface Waiting extends TlsArrival {
  readonly link: RelaySocket;
  readonly more: Uint8Array[];
  readonly onEnd: () => void;
}

/**
 * TLS connections that wait in the relay until the main process asks for each. A socket costs a few KiB here and no
 * handshake; it is read on meanwhile, so that one whose other end has gone is noticed before anybody works for it.
 */
export class WaitingTls {
  readonly #waiting = new Map<number, Waiting>();
  readonly #left: (id: number) => void;
  #lastId = 0;

  /** @param left - one that waited is gone, or was closed because it sent too much for somebody who waits. */
  constructor(left: (id: number) => void) {
    this.#left = left;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** @returns its number, never used twice. */
  add(link: RelaySocket, arrival: TlsArrival): number {
    const id = ++this.#lastId;
    const { socket } = link;
    const more: Uint8Array[] = [];
    let bytesLeft = legLimits.earlyBytes;
    const onEnd = (): void => void socket.destroy();
    link.onBytes = (bytes) => {
      bytesLeft -= bytes.length;
      if (bytesLeft < 0) socket.destroy();
      else more.push(Buffer.from(bytes));
      return bytesLeft >= 0;
    };
    socket.on('end', onEnd);
    socket.once('close', () => {
      if (this.#waiting.delete(id)) this.#left(id);
    });
    this.#waiting.set(id, { ...arrival, link, more, onEnd });
    return id;
  }

  /** Stops reading and gives it away with all that was read; null when it has gone. */
  take(id: number): { readonly socket: Socket; readonly early: Uint8Array } | null {
    const taken = this.#waiting.get(id);
    if (taken === undefined) return null;
    this.#waiting.delete(id);
    taken.link.stop();
    taken.link.socket.off('end', taken.onEnd);
    return { socket: taken.link.socket, early: Buffer.concat([taken.early, ...taken.more]) };
  }

  /** Closes it without a word: TLS has none before the handshake. */
  refuse(id: number): void {
    this.#waiting.get(id)?.link.socket.destroy();
  }

  /** Closes the one that came last; somebody needs its descriptor more. */
  refuseNewest(): void {
    for (let id = this.#lastId; id > 0 && this.#waiting.size > 0; id -= 1) {
      if (this.#waiting.has(id)) return this.refuse(id);
    }
  }
}
