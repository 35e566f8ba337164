import type { Duplex } from 'node:stream';
import { legLimits, PamError, toBase64url } from '@sallyport/protocol';
import type { HostPort } from '@sallyport/seal';
import { decodeTicket, type LegCarrier, type ParkedLeg, parkLeg } from '@sallyport/stream';
import type { Log, Runtime } from '../agent/index.ts';

/** At most this many legs are parked at once, and a dispatch waits this long for the leg it was bound to, ms. */
const parkedAtMost = 16;
const boundWithinMs = 1_000;
/** The relay ends a parked leg at 45 s ± 20 %; one that ends earlier was lost, and with it the way it took. */
const lifeAtLeastMs = legLimits.parkLifeMs * 0.8;

/** Legs dialled ahead, and those that the relay bound to a dispatch. */
export interface ParkedLegs {
  park(tickets: readonly string[], router: HostPort): void;
  /** The matched leg of a dispatch. Rejects with PAM_LEG_FAILED when no parked leg was bound to its ticket in time. */
  take(ticket: string): Promise<Duplex>;
  close(): void;
}

export function createParkedLegs(runtime: Runtime, log: Log, carrier: LegCarrier): ParkedLegs {
  const stopped = new AbortController();
  const parked = new Set<ParkedLeg>();
  const bound = new Map<string, Promise<Duplex>>();
  const waiting = new Map<string, (matched: Promise<Duplex>) => void>();

  function onBound(ticket: string, matched: Promise<Duplex>): void {
    const waiter = waiting.get(ticket);
    if (waiter !== undefined) return waiter(matched);
    bound.set(ticket, matched);
    const drop = (socket: Duplex): void => {
      if (bound.delete(ticket)) socket.destroy();
    };
    runtime.schedule(legLimits.ticketLifeMs, () => {
      matched.then(drop, () => bound.delete(ticket));
    });
  }

  async function parkOne(ticket: string, router: HostPort): Promise<void> {
    const leg = await parkLeg({ address: router, ticket: decodeTicket(ticket), carrier, signal: stopped.signal });
    if (stopped.signal.aborted || parked.size >= parkedAtMost) return leg.close();
    parked.add(leg);
    const sinceMs = runtime.monotonicMs();
    try {
      const { ticket: of, matched } = await leg.bound;
      onBound(toBase64url(of), matched);
    } finally {
      parked.delete(leg);
      if (runtime.monotonicMs() - sinceMs < lifeAtLeastMs) dropIfLost(leg);
    }
  }

  function dropIfLost(leg: ParkedLeg): void {
    leg.bound.catch(() => {
      for (const other of parked) other.close();
    });
  }

  return {
    park: (tickets, router) => {
      for (const ticket of tickets.slice(0, parkedAtMost))
        parkOne(ticket, router).catch((reason: unknown) => {
          const error = PamError.from(reason, 'PAM_LEG_FAILED', 'a leg could not be parked');
          log.debug('a parked leg ended', { code: error.code, error: error.message });
        });
    },
    take: async (ticket) => {
      const known = bound.get(ticket);
      if (known !== undefined) {
        bound.delete(ticket);
        return known;
      }
      const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
      const late = (): void =>
        reject(new PamError('PAM_LEG_FAILED', 'no parked leg was bound', { detail: { status: 'lost' } }));
      const cancel = runtime.schedule(boundWithinMs, late);
      waiting.set(ticket, resolve);
      try {
        return await promise;
      } finally {
        cancel();
        waiting.delete(ticket);
      }
    },
    close: () => {
      stopped.abort();
      for (const leg of parked) leg.close();
    },
  };
}
