import type { EndReason, ErrorCode, Notice } from '@sallyport/protocol';
import type { Frame, GoneCode, ResetCode } from '../frame/frame.ts';

/**
 * One end of an opened stream, as data. Life:
 *
 *     attached(gen) → detached(since) → attached(greater gen) → … → closed
 *
 * `closed` is clean (both directions said FIN, every byte and both FINs delivered and acknowledged) or an error
 * (anything else); what is left of it answers a late RESUME. What must hold, from `invariants`:
 *
 * - S1 delivered is always a prefix of sent. S2 a clean end is seen if and only if all bytes were seen and FIN was sent.
 * - S3 unacknowledged ≤ W (the peer's window), held ≤ W + one frame. S4 both local ends reading → progress: the carrier
 *   is always read, back-pressure is an ACK withheld.
 * - S5 nothing of an older carrier is delivered once a newer one was taken. S6 a RESUME needs a greater generation and an
 *   offset that is still held. S7 detached ends by its limit.
 *
 * Byte counts are of payload from 0, one count per direction. A FIN counts as one more in acknowledgements, as in TCP.
 */
export interface StreamState {
  readonly side: 'client' | 'instance';
  readonly closed: boolean;
  readonly attachment: Attachment;
  /** How long a lost carrier may be replaced, ms; 0: its loss ends the stream. */
  readonly detachMs: number;
  /** What the local end said while nobody could be told: told on the next carrier, then the stream is over. */
  readonly owed: Owed | null;
  /** Set with `closed`: whether the other end confirmed everything, and whether time ran out. */
  readonly end: { readonly code: GoneCode; readonly final: boolean } | null;
  readonly watch: Watch;
  /** When `tick` is due; null: never. */
  readonly wakeAtMs: number | null;

  /** Sending: local socket → carrier. */
  readonly sent: number;
  readonly acked: number;
  /** What the peer has, delivered or not: bytes before it are not kept for replay. At least `acked`. */
  readonly peerHas: number;
  /** What the peer is ready to hold; grows by its WINDOW frames. */
  readonly peerWindow: number;
  /** What was read from the local socket beyond the credit: one read at most, the socket is paused meanwhile. */
  readonly pending: Uint8Array | null;
  readonly localPaused: boolean;
  readonly localEnded: boolean;
  readonly finSent: boolean;
  readonly finAcked: boolean;

  /** Receiving: carrier → local socket. */
  readonly window: number;
  readonly received: number;
  readonly delivered: number;
  readonly lastAck: number;
  readonly ackDueAtMs: number | null;
  readonly finLength: number | null;
  /** FIN came over the carrier of now; it is said again on each. */
  readonly finSeen: boolean;
  readonly localFinished: boolean;

  /** Which local end said FIN first: names the clean end. */
  readonly firstEnd: 'client' | 'instance' | null;
}

type Attachment =
  | { readonly kind: 'attached'; readonly gen: number }
  /** `gen` is the last one taken. */
  | { readonly kind: 'detached'; readonly gen: number; readonly sinceMs: number; readonly limitAtMs: number };

interface Owed {
  readonly code: ResetCode;
  readonly reason: EndReason;
}

/** What is known of the life of the carrier; monotonic ms. */
export interface Watch {
  readonly heardAtMs: number;
  /** Since when bytes are unacknowledged or a PING is unanswered; null: nothing is out. */
  readonly outSinceMs: number | null;
  readonly pingOut: boolean;
  /** How long an idle client waits before it asks whether the carrier still carries. */
  readonly idleGapMs: number;
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
  /** Instance: a carrier is offered, over which the holder of the session key said RESUME. */
  | { readonly kind: 'resume'; readonly gen: number; readonly received: number }
  /** Client: a carrier is offered, over which the same instance said RESUMED; `told` is what our RESUME said we had. */
  | { readonly kind: 'resumed'; readonly gen: number; readonly told: number; readonly received: number }
  /** Client: the instance said GONE. */
  | { readonly kind: 'gone'; readonly code: GoneCode; readonly received: number; readonly final: boolean }
  /** Client: nobody can resume this stream any more. */
  | { readonly kind: 'abandoned'; readonly fault: StreamFault }
  /** `words`: what the RESET says besides; absent for the reason. */
  | { readonly kind: 'stop'; readonly code: ResetCode; readonly reason: EndReason; readonly words?: string }
  | { readonly kind: 'tick' };

export type StreamEffect =
  /** Send one DATA frame, 1 byte to 64 KiB. */
  | { readonly kind: 'send-data'; readonly bytes: Uint8Array }
  /** No carrier now: the bytes are only kept for replay, as those of every `send-data` are. */
  | { readonly kind: 'keep-data'; readonly bytes: Uint8Array }
  | { readonly kind: 'send'; readonly frame: Frame }
  /** Destroy the carrier; nothing of it is told any more. */
  | { readonly kind: 'drop-carrier' }
  /** The offered carrier is the stream's from here on. */
  | { readonly kind: 'take-carrier' }
  /** The offered carrier is not taken: say this on it and end it; null: destroy it. */
  | { readonly kind: 'refuse-carrier'; readonly frame: Frame | null }
  /** Send everything kept from this offset on. */
  | { readonly kind: 'replay'; readonly from: number }
  /** There is no carrier: a client looks for another leg, `received` and a greater generation in hand. */
  | { readonly kind: 'detached'; readonly received: number; readonly gen: number; readonly limitAtMs: number }
  | { readonly kind: 'attached'; readonly gen: number }
  | { readonly kind: 'deliver'; readonly bytes: Uint8Array }
  /** Half-close the local socket: every byte was delivered. */
  | { readonly kind: 'finish-local' }
  | { readonly kind: 'reset-local' }
  | { readonly kind: 'pause-local' }
  | { readonly kind: 'resume-local' }
  /** Call back with `tick` at this time; replaces an earlier wish. */
  | { readonly kind: 'wake'; readonly atMs: number }
  | { readonly kind: 'notice'; readonly notice: Notice }
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

/** Milliseconds; why: docs/adr/0008-resume.md. */
export const resumeTimes = {
  /** Client: how long it looks for another leg to the instance. */
  clientDetachedMs: 60_000,
  /** Instance: the client's, its opening (10 s) and some room. */
  instanceDetachedMs: 75_000,
  /** When nothing is left at the local end but to tell how it ended. */
  tellingMs: 5_000,
  /** How long an ended stream answers RESUME. */
  tombstoneMs: 150_000,
  /** Nothing heard for this long while something is out: the carrier is lost. */
  silentMs: 3_000,
  /** Nothing heard for this long while bytes are out: ask. A peer that withholds its ACK still answers a PING. */
  pingAfterMs: 1_000,
  /** An idle client asks at first after this long, then after twice as long each time. */
  idleGapMs: 1_500,
  idleGapMostMs: 12_000,
  /** A tick later than this was held up by a pause of this process: it heard nothing because it did not listen. */
  pauseMs: 1_000,
} as const;

/**
 * A stream right after OPENED.
 *
 * @param windowBytes - what this end is ready to hold, 256 KiB to 16 MiB; `peerWindowBytes` what the other end said;
 *   `detachMs` how long a lost carrier may be replaced, 0 (as in tests of the rest) if its loss is the end.
 */
export function newStreamState(options: {
  readonly side: 'client' | 'instance';
  readonly windowBytes: number;
  readonly peerWindowBytes: number;
  readonly gen?: number;
  readonly detachMs?: number;
  readonly nowMs?: number;
}): StreamState {
  return {
    side: options.side,
    closed: false,
    attachment: { kind: 'attached', gen: options.gen ?? 1 },
    detachMs: options.detachMs ?? 0,
    owed: null,
    end: null,
    watch: newWatch(options.nowMs ?? 0),
    wakeAtMs: null,
    sent: 0,
    acked: 0,
    peerHas: 0,
    peerWindow: options.peerWindowBytes,
    pending: null,
    localPaused: false,
    localEnded: false,
    finSent: false,
    finAcked: false,
    window: options.windowBytes,
    received: 0,
    delivered: 0,
    lastAck: 0,
    ackDueAtMs: null,
    finLength: null,
    finSeen: false,
    localFinished: false,
    firstEnd: null,
  };
}

/** A carrier that was just heard. */
export function newWatch(nowMs: number): Watch {
  return { heardAtMs: nowMs, outSinceMs: null, pingOut: false, idleGapMs: resumeTimes.idleGapMs };
}
