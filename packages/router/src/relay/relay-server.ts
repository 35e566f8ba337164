import type { Socket } from 'node:net';
import { type LegRole, type LegStatus, legLimits, legStatus } from '@sallyport/protocol';
import type { Balancers } from './balancers.ts';
import type { DescriptorBudget } from './descriptor-budget.ts';
import { type ArrivedLeg, type BadHeader, Gate } from './gate.ts';
import { LegSplice } from './leg-splice.ts';
import type { ProcessUsage } from './own-usage.ts';
import type { FromRelay, RelayLimits, RelayTotals, ToRelay } from './relay-messages.ts';
import { RelayTally } from './relay-tally.ts';
import { newRelayTable, type RelayEffect, type RelayEvent, stepRelay } from './relay-table.ts';
import type { RelaySocket } from './relay-socket.ts';
import { type TlsArrival, WaitingTls } from './waiting-tls.ts';

/** What the relay asks of its process. */
export interface RelayServerDeps {
  readonly limits: RelayLimits;
  readonly budget: DescriptorBudget;
  readonly balancers: Balancers;
  readonly nowMs: () => number;
  readonly jitter: () => number;
  readonly after: (ms: number, run: () => void) => () => void;
  /** Processor time and memory of this process. */
  readonly usage: () => ProcessUsage;
  /** `socket` is given away when there is one; `sent` is called when it left. */
  readonly tell: (message: FromRelay, socket?: Socket, sent?: () => void) => void;
}

interface Leg {
  readonly link: RelaySocket;
  readonly socket: Socket;
  readonly role: LegRole;
  early: Uint8Array[];
  earlyBytes: number;
  phase: 'waiting' | 'parked' | 'spliced' | 'leaving';
}

const busyRetryMs = 1_000;
const lingerMs = 1_000;
const badHeaderEveryMs = 60_000;

/**
 * The relay's sockets: executes what the table decides. One per relay process; every stranger's misbehaviour costs its
 * own connection only.
 */
export class RelayServer {
  readonly #deps: RelayServerDeps;
  readonly #gate: Gate;
  readonly #table = newRelayTable();
  readonly #legs = new Map<number, Leg>();
  readonly #splices = new Map<string, LegSplice>();
  readonly #told = new Map<string, number>();
  readonly #tally = new RelayTally();
  readonly #badHeaders = new Map<BadHeader, { readonly count: number; readonly saidAtMs: number }>();
  #lastLeg = 0;
  readonly #waiting = new WaitingTls((id) => this.#deps.tell({ kind: 'left', id }));
  #handovers = 0;

  constructor(deps: RelayServerDeps) {
    this.#deps = deps;
    const events = {
      tls: (link: RelaySocket, arrival: TlsArrival) => this.#wait(link, arrival),
      leg: (leg: ArrivedLeg) => this.#admit(leg),
      badHeader: (address: string, why: BadHeader) => this.#sayBadHeader(address, why),
    };
    this.#gate = new Gate(deps.limits, deps.budget, events, deps.nowMs, deps.balancers);
  }

  accept(socket: Socket): void {
    this.#gate.accept(socket);
  }

  handle(message: Exclude<ToRelay, { kind: 'start' | 'close' }>): void {
    switch (message.kind) {
      case 'expect':
        this.#step({ kind: 'expect', tickets: message.tickets });
        return this.#deps.tell({ kind: 'expected', id: message.id });
      case 'bind':
        return this.#step({ kind: 'bind', leg: message.leg, ticket: message.ticket });
      case 'forget':
        return this.#step({ kind: 'forget', match: message.match });
      case 'cut':
        return this.#splices.get(message.match)?.cut();
      case 'take':
        return this.#handOver(message.id);
      case 'refuse':
        return this.#waiting.refuse(message.id);
      case 'count':
        return this.#deps.tell({ kind: 'counted', id: message.id, totals: this.#totals() });
      default:
        return message satisfies never;
    }
  }

  /** Every 250 ms or so: late preambles, lonely legs, old tickets. */
  sweep(): void {
    this.#gate.sweep();
    this.#step({ kind: 'sweep' });
  }

  /** Every few seconds: stuck pairs and the bytes of those that moved. */
  report(): void {
    const moved = [];
    for (const [match, pair] of this.#splices) {
      pair.cutIfStuck(this.#deps.nowMs(), this.#deps.limits.noProgressMs);
      const { bytesUp, bytesDown } = pair.bytes;
      if (this.#told.get(match) === bytesUp + bytesDown || !this.#splices.has(match)) continue;
      this.#told.set(match, bytesUp + bytesDown);
      moved.push({ match, bytesUp, bytesDown });
    }
    if (moved.length > 0) this.#deps.tell({ kind: 'bytes', matches: moved });
  }

  #totals(): RelayTotals {
    return {
      ...this.#tally.read([...this.#splices.values()].map((pair) => pair.bytes)),
      undecided: this.#gate.undecided,
      droppedUndecided: this.#gate.dropped,
      legs: this.#legs.size,
      parked: this.#table.parked.size,
      splices: this.#splices.size,
      waiting: this.#waiting.size + this.#handovers,
      budget: this.#deps.budget,
      ...this.#deps.usage(),
    };
  }

  /** One line a minute for each reason: whoever sets up a balancer wrongly gets it at once, an attacker no more. */
  #sayBadHeader(address: string, why: BadHeader): void {
    const nowMs = this.#deps.nowMs();
    const count = (this.#badHeaders.get(why)?.count ?? 0) + 1;
    const saidAtMs = this.#badHeaders.get(why)?.saidAtMs ?? Number.NEGATIVE_INFINITY;
    const isDue = nowMs - saidAtMs >= badHeaderEveryMs;
    this.#badHeaders.set(why, isDue ? { count: 0, saidAtMs: nowMs } : { count, saidAtMs });
    if (!isDue) return;
    const message = 'connections closed over their PROXY header; see --proxy-protocol-from';
    this.#deps.tell({ kind: 'log', level: 'warn', message, fields: { address, why, count } });
  }

  #wait(link: RelaySocket, arrival: TlsArrival): void {
    const { waiting, reserved, legs } = this.#deps.budget;
    const now = this.#waiting.size + this.#handovers;
    if (now >= waiting || now >= reserved + Math.max(0, legs - this.#legs.size)) {
      this.#tally.droppedWaiting++;
      link.socket.destroy();
      return;
    }
    const { from, isLeg } = arrival;
    // Only the kernel's form of an IPv4 address on a socket for both is taken off: a balancer's is in its usual form.
    const address = from ?? (link.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
    const id = this.#waiting.add(link, arrival);
    this.#deps.tell({ kind: 'waits', id, address, isTold: from !== null, isLeg });
  }

  /** One that has gone meanwhile was reported as `left`. */
  #handOver(id: number): void {
    const taken = this.#waiting.take(id);
    if (taken === null) return;
    this.#handovers++;
    this.#deps.tell({ kind: 'tls', id, early: taken.early }, taken.socket, () => this.#handovers--);
  }

  #admit({ link, role, ticket, early }: ArrivedLeg): void {
    const { socket } = link;
    const id = ++this.#lastLeg;
    const leg: Leg = { link, socket, role, early: [], earlyBytes: 0, phase: 'waiting' };
    const parked = role === 'park' ? this.#table.parked.size : 0;
    this.#legs.set(id, leg);
    socket.on('close', () => this.#onClose(id, leg));
    socket.on('end', () => {
      if (leg.phase !== 'spliced') socket.destroy();
    });
    const { budget } = this.#deps;
    const borrowed = Math.max(0, this.#waiting.size + this.#handovers - budget.reserved);
    if (this.#legs.size + borrowed > budget.legs) this.#waiting.refuseNewest();
    if (this.#legs.size > budget.legs || parked >= Math.max(1, budget.parked)) {
      return this.#say(leg, 'busy', Uint8Array.of(busyRetryMs >> 8, busyRetryMs & 255));
    }
    link.onBytes = (bytes) => {
      this.#onData(id, leg, bytes);
      return true;
    };
    if (early.length > 0) this.#onData(id, leg, early);
    if (leg.phase === 'waiting') this.#step({ kind: 'leg', leg: id, role, ticket });
  }

  /** Bytes of a leg that is not spliced yet: kept for the peer, or the answer to BIND. */
  #onData(id: number, leg: Leg, bytes: Uint8Array): void {
    if (leg.phase === 'spliced' || leg.phase === 'leaving') return;
    if (leg.phase === 'parked') {
      leg.phase = 'waiting';
      this.#step({ kind: 'park-answer', leg: id, isBound: bytes[0] === legStatus.bound });
      if (bytes.length > 1) this.#onData(id, leg, bytes.subarray(1));
      return;
    }
    leg.early.push(Buffer.from(bytes));
    leg.earlyBytes += bytes.length;
    if (leg.earlyBytes > legLimits.earlyBytes) leg.socket.destroy();
  }

  #onClose(id: number, leg: Leg): void {
    this.#legs.delete(id);
    if (leg.phase !== 'spliced') this.#step({ kind: 'gone', leg: id });
  }

  #step(event: RelayEvent): void {
    const rules = { limits: this.#deps.limits, jitter: this.#deps.jitter };
    for (const effect of stepRelay(this.#table, event, this.#deps.nowMs(), rules)) this.#perform(effect);
  }

  #perform(effect: RelayEffect): void {
    if (effect.kind === 'match') return this.#match(effect);
    const leg = this.#legs.get(effect.leg);
    switch (effect.kind) {
      case 'refuse':
        return this.#say(leg, effect.status);
      case 'alone':
        this.#say(leg, 'alone');
        return this.#deps.tell({ kind: 'alone', match: effect.match, role: effect.role });
      case 'echoed':
        this.#say(leg, 'echoed');
        return this.#deps.tell({ kind: 'echoed', ticket: effect.ticket });
      case 'parked':
        if (leg !== undefined) leg.phase = 'parked';
        this.#tally.told('parked');
        leg?.socket.write(Uint8Array.of(legStatus.parked));
        return this.#deps.tell({ kind: 'parked', ticket: effect.ticket, leg: effect.leg });
      case 'bind':
        leg?.socket.write(Buffer.concat([Uint8Array.of(legStatus.bind), Buffer.from(effect.ticket, 'base64url')]));
        return;
      case 'bound':
        return this.#deps.tell({ kind: 'bound', leg: effect.leg, ticket: effect.ticket });
      case 'parked-lost':
        if (effect.close) leg?.socket.destroy();
        return this.#deps.tell({ kind: 'parked-lost', leg: effect.leg });
      default:
        return effect satisfies never;
    }
  }

  #match(effect: Extract<RelayEffect, { kind: 'match' }>): void {
    const client = this.#legs.get(effect.client);
    const instance = this.#legs.get(effect.instance);
    if (client === undefined || instance === undefined) return;
    for (const leg of [client, instance]) {
      leg.phase = 'spliced';
      leg.socket.write(Uint8Array.of(legStatus.matched));
      this.#tally.told('matched');
    }
    const { match } = effect;
    this.#deps.tell({ kind: 'matched', match, client: effect.clientTicket, instance: effect.instanceTicket });
    const pair = new LegSplice(client, instance, (why, bytes) => {
      this.#splices.delete(match);
      this.#told.delete(match);
      this.#tally.ended(why, bytes);
      this.#deps.tell({ kind: 'ended', match, why, ...bytes });
    });
    this.#splices.set(match, pair);
    pair.start();
    client.early = [];
    instance.early = [];
  }

  /** Last word to a leg; it is closed within a second whatever it does. */
  #say(leg: Leg | undefined, status: LegStatus, more: Uint8Array = new Uint8Array(0)): void {
    if (leg === undefined) return;
    this.#tally.told(status);
    leg.phase = 'leaving';
    const cancel = this.#deps.after(lingerMs, () => leg.socket.destroy());
    leg.socket.once('close', cancel);
    leg.socket.end(Buffer.concat([Uint8Array.of(legStatus[status]), more]));
    leg.link.onBytes = () => true;
    leg.link.read();
  }
}
