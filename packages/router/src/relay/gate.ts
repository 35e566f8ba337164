import type { Socket } from 'node:net';
import { decodePreamble, type LegRole, preambleBytes, toBase64url } from '@sallyport/protocol';
import type { DescriptorBudget } from './descriptor-budget.ts';
import type { RelayLimits } from './relay-messages.ts';
import { UndecidedSockets } from './undecided-sockets.ts';
import { type SocketValve, valveOf } from './socket-valve.ts';

/** An accepted socket that turned out to be a leg; its valve is open. */
export interface ArrivedLeg {
  readonly socket: Socket;
  readonly valve: SocketValve;
  readonly role: LegRole;
  readonly ticket: string;
  /** What came behind the preamble in the same read. */
  readonly early: Uint8Array;
}

export interface GateEvents {
  /** The first byte said TLS. Reading has been stopped; `early` is all that was read. */
  tls(socket: Socket, early: Uint8Array): void;
  leg(leg: ArrivedLeg): void;
}

const httpAnswer = 'This port speaks TLS: use https://\n';
const httpReply = `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${httpAnswer.length}\r\nConnection: close\r\n\r\n${httpAnswer}`;

/**
 * Tells what an accepted socket is by its first bytes: 0x16 is TLS, `SPRT` a leg, anything else is closed (somebody who
 * speaks HTTP gets one line). Whoever has not said it in 2 s, or is one too many, is closed.
 */
export class Gate {
  readonly #undecided: UndecidedSockets<Socket>;
  readonly #limits: RelayLimits;
  readonly #events: GateEvents;
  readonly #nowMs: () => number;

  constructor(limits: RelayLimits, budget: DescriptorBudget, events: GateEvents, nowMs: () => number) {
    const most = budget.undecided;
    this.#undecided = new UndecidedSockets({ most, perAddress: Math.min(most, limits.undecidedPerAddress) });
    this.#limits = limits;
    this.#events = events;
    this.#nowMs = nowMs;
  }

  get undecided(): number {
    return this.#undecided.size;
  }

  accept(socket: Socket): void {
    const valve = valveOf(socket);
    let have: Uint8Array = new Uint8Array(0);
    const onData = (bytes: Uint8Array): void => {
      have = have.length === 0 ? bytes : Buffer.concat([have, bytes]);
      const opening = decodePreamble(have);
      if (opening.kind === 'incomplete') return;
      this.#undecided.remove(socket);
      socket.off('data', onData);
      socket.off('end', onEnd);
      if (opening.kind === 'leg') {
        const early = have.subarray(preambleBytes);
        this.#events.leg({ socket, valve, role: opening.role, ticket: toBase64url(opening.ticket), early });
      } else if (opening.kind === 'tls') {
        valve.close();
        this.#events.tls(socket, have);
      } else refuse(socket, have);
    };
    const onEnd = (): void => {
      socket.destroy();
    };
    socket.on('error', () => socket.destroy());
    socket.on('end', onEnd);
    socket.on('close', () => this.#undecided.remove(socket));
    this.#undecided.add(socket, socket.remoteAddress ?? '', this.#nowMs())?.destroy();
    socket.on('data', onData);
  }

  sweep(): void {
    for (const socket of this.#undecided.takeOlder(this.#nowMs() - this.#limits.preambleWithinMs)) socket.destroy();
  }
}

function refuse(socket: Socket, said: Uint8Array): void {
  const first = said[0] ?? 0;
  socket.on('end', () => socket.destroy());
  socket.resume();
  if (first >= 0x41 && first <= 0x5a && said[0] !== undefined && !isLegLike(said)) {
    socket.end(httpReply, () => socket.destroySoon());
  } else socket.destroy();
}

/** A broken preamble begins like ours and is no HTTP. */
function isLegLike(said: Uint8Array): boolean {
  return said[0] === 0x53 && said[1] === 0x50 && said[2] === 0x52;
}
