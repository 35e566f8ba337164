import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { encodePreamble, type LegRole, legLimits, legStatus, ticketBytes } from '@sallyport/protocol';
import { type LegCarrier, plainCarrier } from '../reach/leg-carrier.ts';
import { systemTimers, type Timers } from '../run/system-timers.ts';
import { legFailed, LegReader } from './leg-reader.ts';

export interface LegOptions {
  readonly address: { readonly host: string; readonly port: number };
  /** 32 bytes, from the router's answer or the dispatch. */
  readonly ticket: Uint8Array;
  /** What it travels in; TCP, straight to the router, when absent. */
  readonly carrier?: LegCarrier;
  readonly dialWithinMs?: number;
  readonly timers?: Timers;
  readonly signal: AbortSignal;
}

/** The relay says ALONE after 5 s; this is for one that says nothing. */
const answerWithinMs = 10_000;
const dialMs = 5_000;

/**
 * Opens a leg to the router's port and waits until it is matched.
 *
 * @returns the raw carrier: paused, half-open, without delay, keep-alive 15 s; what follows is the other leg's.
 * @throws PAM_ROUTER_UNREACHABLE, PAM_PROXY_*, or PAM_LEG_FAILED with `detail.status` (see `docs/protocol.md`, "Leg statuses").
 */
export function connectLeg(
  options: LegOptions & { readonly role: 'client' | 'instance'; readonly carrier?: never },
): Promise<Socket>;
export function connectLeg(options: LegOptions & { readonly role: 'client' | 'instance' }): Promise<Duplex>;
export async function connectLeg(options: LegOptions & { readonly role: 'client' | 'instance' }): Promise<Duplex> {
  const reader = await openLeg(options, options.role);
  await reader.expect(legStatus.matched, answerWithinMs);
  return reader.release();
}

/** Proves that the router's data port can be reached with this ticket: one leg, answered and closed. */
export async function echoLeg(options: LegOptions): Promise<void> {
  const reader = await openLeg(options, 'echo');
  await reader.expect(legStatus.echoed, answerWithinMs);
  reader.release().destroy();
}

/** A leg dialled ahead: the router may bind it to a dispatch at any time of its life. */
export interface ParkedLeg {
  /** Rejects with PAM_LEG_FAILED (`lost`) when the leg is lost, closed or its life is over. */
  readonly bound: Promise<BoundLeg>;
  close(): void;
}

export interface BoundLeg {
  /** The dispatch's ticket, 32 bytes. */
  readonly ticket: Uint8Array;
  readonly matched: Promise<Duplex>;
}

/** Dials ahead; resolves when the relay said PARKED. */
export async function parkLeg(options: LegOptions): Promise<ParkedLeg> {
  const reader = await openLeg(options, 'park');
  await reader.expect(legStatus.parked, answerWithinMs);
  const bound = waitForBind(reader);
  bound.catch(() => undefined);
  return { bound, close: () => reader.fail('lost') };
}

async function waitForBind(reader: LegReader): Promise<BoundLeg> {
  await reader.expect(legStatus.bind, legLimits.parkLifeMs * 2);
  const ticket = await reader.read(ticketBytes, answerWithinMs);
  reader.write(Uint8Array.of(legStatus.bound));
  const matched = reader.expect(legStatus.matched, answerWithinMs).then(() => reader.release());
  matched.catch(() => undefined);
  return { ticket, matched };
}

async function openLeg(options: LegOptions, role: LegRole): Promise<LegReader> {
  if (options.ticket.length !== ticketBytes) throw legFailed('unknown', 'a ticket is 32 bytes');
  const timers = options.timers ?? systemTimers;
  const { address, carrier = plainCarrier, signal, dialWithinMs: withinMs = dialMs } = options;
  const socket = await carrier.dial({ address, withinMs, timers, signal });
  const reader = new LegReader(socket, timers, signal);
  reader.write(encodePreamble(role, options.ticket));
  return reader;
}
