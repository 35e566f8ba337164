import type { LegRole, LegStatus } from '@sallyport/protocol';
import type { DescriptorBudget } from './descriptor-budget.ts';
import type { ProcessUsage } from './own-usage.ts';

/**
 * Messages between the router's main process and its relay process, over the fork's IPC channel. Both ends are this
 * build, so they are trusted as typed.
 */
export interface ExpectedTicket {
  /** 43 characters base64url of 32 bytes. */
  readonly ticket: string;
  readonly role: LegRole;
  /** Legs of one match are joined; for park and echo any label. At most 64 characters. */
  readonly match: string;
  /** 10 s by default. */
  readonly lifeMs?: number;
}

export type ToRelay =
  | {
      readonly kind: 'start';
      readonly limits: RelayLimits;
      /** Addresses and CIDRs whose connections begin with a PROXY header. */
      readonly balancers: readonly string[];
    }
  | { readonly kind: 'expect'; readonly id: number; readonly tickets: readonly ExpectedTicket[] }
  | { readonly kind: 'bind'; readonly leg: number; readonly ticket: string }
  | { readonly kind: 'forget'; readonly match: string }
  | { readonly kind: 'cut'; readonly match: string }
  /** Of a TLS connection that waits: hand it over (`tls` follows, or `left` was under way), or close it. */
  | { readonly kind: 'take' | 'refuse'; readonly id: number }
  | { readonly kind: 'count'; readonly id: number }
  | { readonly kind: 'close' };

export type MatchEnd = 'closed' | 'reset' | 'no-progress' | 'cut' | 'relay-lost';

export interface MatchBytes {
  /** Client → instance, bytes of the carrier. */
  readonly bytesUp: number;
  readonly bytesDown: number;
}

/** What a relay process counted since it started, and what it holds now. Counts of sockets, bytes of carriers. */
export interface RelayTotals extends MatchBytes, ProcessUsage {
  readonly undecided: number;
  readonly legs: number;
  readonly parked: number;
  readonly splices: number;
  /** TLS connections that wait, or are on their way to the main process. */
  readonly waiting: number;
  readonly budget: DescriptorBudget;
  /** Legs by the status byte they were told. */
  readonly told: Readonly<Partial<Record<LegStatus, number>>>;
  /** Matches that ended, by why. */
  readonly ended: Readonly<Partial<Record<MatchEnd, number>>>;
  /** Accepted sockets that never said what they are, and TLS connections for which there was no room to wait. */
  readonly droppedUndecided: number;
  readonly droppedWaiting: number;
}

export type FromRelay =
  | { readonly kind: 'listening'; readonly legs: number; readonly descriptors: number }
  | { readonly kind: 'expected'; readonly id: number }
  | { readonly kind: 'counted'; readonly id: number; readonly totals: RelayTotals }
  /** A TLS connection waits to be taken; `address` is the client's, also behind a balancer, where `isTold` is true. */
  | {
      readonly kind: 'waits';
      readonly id: number;
      readonly address: string;
      readonly isTold: boolean;
      readonly isLeg: boolean;
    }
  | { readonly kind: 'left'; readonly id: number }
  | { readonly kind: 'tls'; readonly id: number; readonly early: Uint8Array }
  | { readonly kind: 'matched'; readonly match: string; readonly client: string; readonly instance: string }
  | { readonly kind: 'bytes'; readonly matches: readonly ({ readonly match: string } & MatchBytes)[] }
  | ({ readonly kind: 'ended'; readonly match: string; readonly why: MatchEnd } & MatchBytes)
  | { readonly kind: 'alone'; readonly match: string; readonly role: LegRole }
  | { readonly kind: 'echoed'; readonly ticket: string }
  | { readonly kind: 'parked'; readonly ticket: string; readonly leg: number }
  | { readonly kind: 'parked-lost'; readonly leg: number }
  | { readonly kind: 'bound'; readonly leg: number; readonly ticket: string }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly message: string;
      readonly fields: Readonly<Record<string, string | number>>;
    };

/** Times in milliseconds; counts of sockets. Usual values: `legLimits` of protocol. */
export interface RelayLimits {
  readonly preambleWithinMs: number;
  readonly undecidedSockets: number;
  readonly undecidedPerAddress: number;
  readonly aloneAfterMs: number;
  readonly noProgressMs: number;
  readonly parkLifeMs: number;
  readonly ticketLifeMs: number;
  /** Reports of bytes and the search for stuck legs. */
  readonly sweepMs: number;
}
