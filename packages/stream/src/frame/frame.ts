import type { Notice, Open, Opened, Ready, Refused } from '@sallyport/protocol';

/**
 * Frames of wire version 1: 4 bytes of header (type, then the payload's length as u24, big endian), then the payload.
 * Web APIs only. Byte by byte in docs/protocol.md, vectors in docs/protocol-vectors.json.
 */
export const frameType = {
  ready: 1,
  open: 2,
  dialing: 3,
  opened: 4,
  refused: 5,
  data: 6,
  ack: 7,
  fin: 8,
  reset: 9,
  window: 10,
  ping: 11,
  pong: 12,
  resume: 13,
  resumed: 14,
  gone: 15,
  notice: 16,
} as const;
export type FrameKind = keyof typeof frameType;

/** Bytes. `control` bounds every payload but DATA's. */
export const frameLimits = {
  header: 4,
  data: 65_536,
  control: 16_384,
  resetText: 256,
  token: 8,
  streamId: 22,
} as const;

/** Why a stream was reset; the wire carries the number. */
export const resetCode = {
  /** The local socket of the sender broke (TCP reset, write error). */
  broken: 1,
  protocol: 2,
  stopped: 3,
  deadline: 4,
  'signed-out': 5,
  failed: 6,
  /** The client took another instance for this stream. */
  forget: 7,
  'detached-timeout': 8,
  /** The instance left the pool: the deadline of its drain was over. */
  drained: 9,
  /** Somebody ended it; the text says who and why. */
  killed: 10,
} as const;
export type ResetCode = keyof typeof resetCode;

/** Why a stream cannot be resumed. */
export const goneCode = { unknown: 1, ended: 2, 'detached-timeout': 3 } as const;
export type GoneCode = keyof typeof goneCode;

/**
 * A decoded frame. `data` may be a piece of a DATA payload: pieces arrive in order and are never empty. Numbers that
 * count bytes are at most 2^53 - 1. `token` of PING and PONG is 8 bytes.
 */
export type Frame =
  | { readonly kind: 'ready'; readonly body: Ready }
  | { readonly kind: 'open'; readonly body: Open }
  | { readonly kind: 'dialing' }
  | { readonly kind: 'opened'; readonly body: Opened }
  | { readonly kind: 'refused'; readonly body: Refused }
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'ack'; readonly offset: number }
  | { readonly kind: 'fin'; readonly length: number }
  | { readonly kind: 'reset'; readonly code: ResetCode; readonly text: string }
  | { readonly kind: 'window'; readonly bytes: number }
  | { readonly kind: 'ping' | 'pong'; readonly token: Uint8Array }
  | { readonly kind: 'resume'; readonly stream: string; readonly gen: number; readonly received: number }
  | { readonly kind: 'resumed'; readonly received: number }
  | { readonly kind: 'gone'; readonly code: GoneCode; readonly received: number; readonly final: boolean }
  | { readonly kind: 'notice'; readonly body: Notice };
