import type { Duplex } from 'node:stream';
import { encodePreamble, ticketBytes } from '@sallyport/protocol';
import { LegReader } from '../leg/leg-reader.ts';
import { systemTimers } from '../run/system-timers.ts';
import { dialRouter, type RouterDial } from './dial-router.ts';
import { dialWebSocket } from './dial-websocket.ts';
import { directReach, type Reach } from './reach.ts';

export const carrierChoices = ['tcp', 'websocket', 'auto'] as const;
/** How legs travel: as they are, inside TLS and WebSocket, or whichever passes. */
export type CarrierChoice = (typeof carrierChoices)[number];

/** Opens what legs travel in. */
export interface LegCarrier {
  /** @returns half-open; nothing has been said on it. @throws as `dialRouter` and `dialWebSocket` */
  dial(wish: Omit<RouterDial, 'reach' | 'halfOpen'>): Promise<Duplex>;
}

export interface LegCarrierOptions {
  readonly choice: CarrierChoice;
  readonly reach: Reach;
  /** Pins to accept now. */
  readonly pins: () => readonly string[];
  /** `auto` took the WebSocket: said once for each router. */
  readonly onFallBack: (router: string) => void;
}

/** Legs as they are, straight to the router. */
export const plainCarrier: LegCarrier = {
  dial: async (wish) => dialRouter({ ...wish, reach: directReach, halfOpen: true, beside: true }),
};

/** A router answers a stranger's leg at once; a network that lets none pass says nothing, or cuts. */
const probeWithinMs = 3_000;
/** Networks change, laptops more than most: so long what was found is believed. A probe is one connection. */
const foundForMs = 300_000;

export function createLegCarrier(options: LegCarrierOptions): LegCarrier {
  const { choice, reach } = options;
  const known = new Map<string, { readonly found: Promise<'tcp' | 'websocket'>; readonly atMs: number }>();
  const said = new Set<string>();
  const plain: LegCarrier['dial'] = async (wish) => dialRouter({ ...wish, reach, halfOpen: true, beside: true });
  const wrapped: LegCarrier['dial'] = async (wish) =>
    dialWebSocket({ ...wish, reach, halfOpen: true, beside: true }, options.pins());

  async function probe(wish: Parameters<LegCarrier['dial']>[0], router: string): Promise<'tcp' | 'websocket'> {
    if (await passes(plain, wish)) return 'tcp';
    const leg = await wrapped(wish);
    leg.destroy();
    if (!said.has(router)) options.onFallBack(router);
    said.add(router);
    return 'websocket';
  }

  return {
    dial: async (wish) => {
      if (choice !== 'auto') return choice === 'tcp' ? plain(wish) : wrapped(wish);
      const router = `${wish.address.host} ${wish.address.port}`;
      const nowMs = (wish.timers ?? systemTimers).nowMs();
      let last = known.get(router);
      if (last === undefined || nowMs - last.atMs >= foundForMs) {
        // Others wait for it: whoever asked first may leave. It is bounded by its own times.
        last = { found: probe({ ...wish, signal: new AbortController().signal }, router), atMs: nowMs };
        known.set(router, last);
        // When neither passes, the next leg asks again.
        last.found.catch(() => known.delete(router));
      }
      return (await last.found) === 'tcp' ? plain(wish) : wrapped(wish);
    },
  };
}

/** Whether the router answers a plain leg; its ticket is nobody's, so the answer is that it is unknown. */
async function passes(dial: LegCarrier['dial'], wish: Parameters<LegCarrier['dial']>[0]): Promise<boolean> {
  const timers = wish.timers ?? systemTimers;
  const socket = await dial(wish);
  const reader = new LegReader(socket, timers, wish.signal);
  reader.write(encodePreamble('echo', new Uint8Array(ticketBytes)));
  try {
    await reader.read(1, Math.min(probeWithinMs, wish.withinMs));
    return true;
  } catch (reason) {
    if (wish.signal.aborted) throw reason;
    return false;
  } finally {
    reader.release().destroy();
  }
}
