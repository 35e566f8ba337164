import type { EndReason, ErrorCode } from '@sallyport/protocol';
import type { Frame, ResetCode } from '../frame/frame.ts';

/**
 * One end of an opened stream, as data. Life: `open` → `closed` (clean: both directions said FIN, every byte delivered
 * and acknowledged) or `closed` with an error (anything else). What must hold, from `invariants`:
 *
 * - S1 delivered is always a prefix of sent. S2 a clean end is seen if and only if all bytes were seen and FIN was sent.
 * - S3 unacknowledged ≤ W (the peer's window), held ≤ W + one frame. S4 both local ends reading → progress: the carrier
 *   is always read, back-pressure is an ACK withheld.
 *
 * Byte counts are of payload from 0, one count per direction.
 */
export interface StreamState {
  readonly side: 'client' | 'instance';
  readonly closed: boolean;

  /** Sending: local socket → carrier. */
  readonly sent: number;
  readonly acked: number;
  /** What the peer is ready to hold; grows by its WINDOW frames. */
  readonly peerWindow: number;
  /** What was read from the local socket beyond the credit: one read at most, the socket is paused meanwhile. */
  readonly pending: Uint8Array | null;
  readonly localPaused: boolean;
  readonly localEnded: boolean;
  readonly finSent: boolean;

  /** Receiving: carrier → local socket. */
  readonly window: number;
  readonly received: number;
  readonly delivered: number;
  readonly lastAck: number;
  readonly ackDueAtMs: number | null;
  readonly finLength: number | null;
  readonly localFinished: boolean;

  /** Which local end said FIN first: names the clean end. */
  readonly firstEnd: 'client' | 'instance' | null;
}

export type StreamEvent =
  /** Bytes read from the local socket, at most one read at a time while not paused. */
  | { readonly kind: 'local-data'; readonly bytes: Uint8Array }
  | { readonly kind: 'local-ended' }
  /** The local socket took bytes: `total` is the count handed to the kernel since the start. */
  | { readonly kind: 'local-took'; readonly total: number }
  /** The local socket broke. */
  | { readonly kind: 'local-broken' }
  | { readonly kind: 'frame'; readonly frame: Frame }
  /** The carrier's bytes made no frame. */
  | { readonly kind: 'carrier-garbled'; readonly error: string }
  /** End or loss of the carrier; never a clean end of the stream by itself. */
  | { readonly kind: 'carrier-lost' }
  | { readonly kind: 'stop'; readonly code: ResetCode; readonly reason: EndReason }
  | { readonly kind: 'tick' };

export type StreamEffect =
  /** Send one DATA frame, 1 byte to 64 KiB. */
  | { readonly kind: 'send-data'; readonly bytes: Uint8Array }
  | { readonly kind: 'send'; readonly frame: Frame }
  | { readonly kind: 'deliver'; readonly bytes: Uint8Array }
  /** Half-close the local socket: every byte was delivered. */
  | { readonly kind: 'finish-local' }
  | { readonly kind: 'reset-local' }
  | { readonly kind: 'pause-local' }
  | { readonly kind: 'resume-local' }
  /** Call back with `tick` at this time; replaces an earlier wish. */
  | { readonly kind: 'wake'; readonly atMs: number }
  | { readonly kind: 'notice'; readonly message: string }
  /** Last effect of all. A clean end flushes and ends the carrier, any other destroys it after what was sent. */
  | { readonly kind: 'closed'; readonly reason: EndReason; readonly error: StreamFault | null };

export interface StreamFault {
  readonly code: ErrorCode;
  readonly message: string;
}

export interface StreamStep {
  readonly state: StreamState;
  readonly effects: readonly StreamEffect[];
}

/** An acknowledgement is due after a quarter of the window, or this many milliseconds after a delivery. */
export const ackWithinMs = 20;

/**
 * A stream right after OPENED.
 *
 * @param windowBytes - what this end is ready to hold, 256 KiB to 16 MiB; `peerWindowBytes` what the other end said.
 */
export function newStreamState(options: {
  readonly side: 'client' | 'instance';
  readonly windowBytes: number;
  readonly peerWindowBytes: number;
}): StreamState {
  return {
    side: options.side,
    closed: false,
    sent: 0,
    acked: 0,
    peerWindow: options.peerWindowBytes,
    pending: null,
    localPaused: false,
    localEnded: false,
    finSent: false,
    window: options.windowBytes,
    received: 0,
    delivered: 0,
    lastAck: 0,
    ackDueAtMs: null,
    finLength: null,
    localFinished: false,
    firstEnd: null,
  };
}
