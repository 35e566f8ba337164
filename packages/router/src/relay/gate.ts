import type { Socket } from 'node:net';
import { decodePreamble, type LegRole, preambleBytes, toBase64url, legCarrier } from '@sallyport/protocol';
import type { Balancers } from './balancers.ts';
import type { DescriptorBudget } from './descriptor-budget.ts';
import type { RelayLimits } from './relay-messages.ts';
import { looksLikeProxyHeader, readProxyHeader } from './proxy-header.ts';
import { readTlsHello } from './read-hello.ts';
import { UndecidedSockets } from './undecided-sockets.ts';
import { type RelaySocket, takeOver } from './relay-socket.ts';
import type { TlsArrival } from './waiting-tls.ts';

/** An accepted socket that turned out to be a leg; it is being read. */
export interface ArrivedLeg {
  readonly link: RelaySocket;
  readonly role: LegRole;
  readonly ticket: string;
  /** What came behind the preamble in the same read. */
  readonly early: Uint8Array;
}

export interface GateEvents {
  /** The first byte said TLS. It is being read; `early` is all that was read so far. */
  tls(link: RelaySocket, arrival: TlsArrival): void;
  leg(leg: ArrivedLeg): void;
  /** A balancer without its header, or a header of somebody who is none. */
  badHeader(address: string, why: BadHeader): void;
}

/** Why a connection was closed over its PROXY header. */
export type BadHeader = 'no-header' | 'malformed' | 'too-long' | 'not-listed';

const httpAnswer = 'This port speaks TLS: use https://\n';
const httpReply = `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${httpAnswer.length}\r\nConnection: close\r\n\r\n${httpAnswer}`;

/**
 * Tells what an accepted socket is by its first bytes: 0x16 is TLS, `SPRT` a leg, anything else is closed (somebody who
 * speaks HTTP gets one line). Whoever has not said it in 2 s, or is one too many, is closed. A balancer says first where
 * the connection comes from, and must; nobody else may.
 */
export class Gate {
  readonly #undecided: UndecidedSockets<Socket>;
  readonly #limits: RelayLimits;
  readonly #events: GateEvents;
  readonly #nowMs: () => number;
  readonly #balancers: Balancers;
  /** TLS whose first message has not come whole. */
  readonly #halfHellos = new Map<Socket, () => void>();
  #dropped = 0;

  constructor(
    limits: RelayLimits,
    budget: DescriptorBudget,
    events: GateEvents,
    nowMs: () => number,
    balancers: Balancers,
  ) {
    const most = budget.undecided;
    this.#undecided = new UndecidedSockets({ most, perAddress: Math.min(most, limits.undecidedPerAddress) });
    this.#limits = limits;
    this.#events = events;
    this.#nowMs = nowMs;
    this.#balancers = balancers;
  }

  get undecided(): number {
    return this.#undecided.size;
  }

  /** Sockets closed because they did not say in time, or were one too many. */
  get dropped(): number {
    return this.#dropped;
  }

  /** `accepted` has not been read yet (`pauseOnConnect`). */
  accept(accepted: Socket): void {
    const link = takeOver(accepted);
    const { socket } = link;
    const peer = socket.remoteAddress ?? '';
    let have: Uint8Array = new Uint8Array(0);
    let expectsHeader = this.#balancers.has(peer);
    let from: string | null = null;
    const onEnd = (): void => {
      socket.destroy();
    };
    link.onBytes = (bytes) => {
      have = Buffer.concat([have, bytes]);
      if (expectsHeader) {
        const header = readProxyHeader(have);
        if (header.kind === 'incomplete') return true;
        if (header.kind === 'refused') return this.#turnAway(socket, peer, header.why);
        expectsHeader = false;
        from = header.address;
        if (from !== null) this.#undecided.move(socket, from);
        have = have.subarray(header.length);
      }
      const opening = decodePreamble(have);
      if (opening.kind === 'incomplete') return true;
      const hello = opening.kind === 'tls' ? readTlsHello(have) : null;
      if (hello?.kind === 'incomplete') {
        // It is TLS all the same: when its time is over it is handed on as it is.
        this.#halfHellos.set(socket, () => {
          socket.off('end', onEnd);
          this.#events.tls(link, { early: have, from, isLeg: false });
        });
        return true;
      }
      this.#halfHellos.delete(socket);
      this.#undecided.remove(socket);
      socket.off('end', onEnd);
      if (opening.kind === 'tls') {
        const isLeg = hello?.protocols.includes(legCarrier.protocol) ?? false;
        this.#events.tls(link, { early: have, from, isLeg });
        return true;
      }
      if (opening.kind === 'refused') {
        if (looksLikeProxyHeader(have)) return this.#turnAway(socket, peer, 'not-listed');
        return refuse(link, have);
      }
      const early = have.subarray(preambleBytes);
      this.#events.leg({ link, role: opening.role, ticket: toBase64url(opening.ticket), early });
      return true;
    };
    socket.on('error', () => socket.destroy());
    socket.on('end', onEnd);
    socket.on('close', () => {
      this.#undecided.remove(socket);
      this.#halfHellos.delete(socket);
    });
    this.#drop(this.#undecided.add(socket, peer, this.#nowMs()));
    link.read();
  }

  sweep(): void {
    for (const socket of this.#undecided.takeOlder(this.#nowMs() - this.#limits.preambleWithinMs)) {
      const handOn = this.#halfHellos.get(socket);
      this.#halfHellos.delete(socket);
      if (handOn === undefined) this.#drop(socket);
      else handOn();
    }
  }

  #turnAway(socket: Socket, peer: string, why: BadHeader): boolean {
    this.#undecided.remove(socket);
    socket.destroy();
    this.#events.badHeader(peer, why);
    return false;
  }

  #drop(socket: Socket | null): void {
    if (socket === null) return;
    this.#dropped++;
    socket.destroy();
  }
}

/** Closes somebody who speaks neither TLS nor a preamble; one who may speak HTTP is told what the port speaks. */
function refuse(link: RelaySocket, said: Uint8Array): boolean {
  const { socket } = link;
  const first = said[0] ?? 0;
  const isPreambleLike = first === 0x53 && said[1] === 0x50 && said[2] === 0x52;
  link.onBytes = () => true;
  socket.on('end', () => socket.destroy());
  if (first >= 0x41 && first <= 0x5a && !isPreambleLike) socket.end(httpReply, () => socket.destroySoon());
  else socket.destroy();
  return true;
}
