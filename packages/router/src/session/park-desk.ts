import type { InstanceId } from '@sallyport/protocol';

/**
 * Dial ahead: legs that instances parked at this router, so that a dispatch need not wait for one (architecture
 * section 5). Parked legs never influence which instance is picked.
 *
 * P1 only an instance that was dispatched to within the last minute is asked for legs, and for few:
 *    k = min(16, ⌈rate × (dial + 0.1 s)⌉ + 1).
 * P2 a leg is used once; one that is lost between use and BOUND costs nothing but time: its instance dials instead.
 */
export interface ParkDesk {
  /** A dispatch went out on this link. */
  dispatched(instance: InstanceId, link: string): void;
  parked(ticket: string, leg: number): void;
  lost(leg: number): void;
  /** A leg of this instance to be bound now; null when there is none. */
  take(instance: InstanceId): number | null;
  /** Its link closed: its legs are not used any more. */
  forget(instance: InstanceId): void;
  /** Every second: asks for legs that are missing, drops what is idle. */
  tick(): void;
}

export interface ParkDeskDeps {
  readonly monotonicMs: () => number;
  readonly newTicket: () => string;
  /** Makes park tickets known to the relay, then asks the instance on this link to park with them. */
  readonly ask: (link: string, tickets: readonly string[]) => void;
}

interface Desk {
  readonly link: string;
  readonly lastMs: number;
  /** Dispatches a second, decaying over about ten. */
  readonly rate: number;
}

const atMost = 16;
const idleMs = 60_000;
const rateWindowMs = 10_000;
/** Dial of a leg, assumed, and what the rate is spread by. */
const dialSeconds = 0.1;
const spreadSeconds = 0.1;
/** A ticket that nobody parked with by then is not counted any more (ticket life). */
const pendingMs = 10_000;

/** How many legs an instance with this rate of dispatches a second shall have parked. */
export function legsWanted(rate: number): number {
  return Math.min(atMost, Math.ceil(rate * (dialSeconds + spreadSeconds)) + 1);
}

export function createParkDesk(deps: ParkDeskDeps): ParkDesk {
  const desks = new Map<InstanceId, Desk>();
  const pending = new Map<string, { readonly instance: InstanceId; readonly atMs: number }>();
  const legs = new Map<number, InstanceId>();

  const legsOf = (instance: InstanceId): number[] =>
    [...legs].filter(([, owner]) => owner === instance).map(([leg]) => leg);
  const pendingOf = (instance: InstanceId): number =>
    [...pending.values()].filter((each) => each.instance === instance).length;
  const decayed = (desk: Desk, nowMs: number): number => desk.rate * Math.exp(-(nowMs - desk.lastMs) / rateWindowMs);

  function fill(instance: InstanceId, desk: Desk): void {
    const nowMs = deps.monotonicMs();
    const missing = legsWanted(decayed(desk, nowMs)) - legsOf(instance).length - pendingOf(instance);
    if (missing <= 0) return;
    const tickets = Array.from({ length: missing }, () => deps.newTicket());
    for (const ticket of tickets) pending.set(ticket, { instance, atMs: nowMs });
    deps.ask(desk.link, tickets);
  }
  function forget(instance: InstanceId): void {
    desks.delete(instance);
    for (const leg of legsOf(instance)) legs.delete(leg);
    for (const [ticket, each] of pending) if (each.instance === instance) pending.delete(ticket);
  }

  return {
    dispatched: (instance, link) => {
      const nowMs = deps.monotonicMs();
      const old = desks.get(instance);
      if (old !== undefined && old.link !== link) forget(instance);
      const rate = (old === undefined ? 0 : decayed(old, nowMs)) + 1_000 / rateWindowMs;
      const desk = { link, lastMs: nowMs, rate };
      desks.set(instance, desk);
      fill(instance, desk);
    },
    parked: (ticket, leg) => {
      const owner = pending.get(ticket);
      if (owner === undefined) return;
      pending.delete(ticket);
      legs.set(leg, owner.instance);
    },
    lost: (leg) => {
      legs.delete(leg);
    },
    take: (instance) => {
      const [leg] = legsOf(instance);
      if (leg === undefined) return null;
      legs.delete(leg);
      return leg;
    },
    forget,
    tick: () => {
      const nowMs = deps.monotonicMs();
      for (const [ticket, { atMs }] of pending) if (nowMs - atMs >= pendingMs) pending.delete(ticket);
      for (const [instance, desk] of desks) {
        if (nowMs - desk.lastMs >= idleMs) forget(instance);
        else fill(instance, desk);
      }
    },
  };
}
