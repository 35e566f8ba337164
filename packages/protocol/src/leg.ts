/**
 * The opening of a data connection ("leg") on the router's port, and what the relay answers.
 *
 * A leg opens with 40 bytes: magic "SPRT", version 1, role, two zero bytes, ticket of 32 bytes. The relay answers
 * one status byte. ELSEWHERE and BUSY carry more, see below. After MATCHED the bytes are the other leg's.
 *
 * @see docs/protocol.md, architecture section 5 ("Relay")
 */
export const legMagic = Uint8Array.of(0x53, 0x50, 0x52, 0x54);
export const legVersion = 1;
export const preambleBytes = 40;
export const ticketBytes = 32;

export const legRole = { client: 1, instance: 2, park: 3, echo: 4 } as const;
export type LegRole = keyof typeof legRole;

/**
 * `matched` 0: go on. `alone` 1: 5 s without a peer. `unknown` 2: no such ticket. `used` 3. `elsewhere` 4: u16
 * length and UTF-8 HOST:PORT of the right router follow. `busy` 5: u16 retry-after in ms follows. `echoed` 6: answer
 * to role echo, then the relay closes. `parked` 7: answer to role park; later either 8 or a close.
 * `bind` 8: 32 bytes of the ticket follow; the instance answers one byte 9 (`bound`) and is then matched.
 */
export const legStatus = {
  matched: 0,
  alone: 1,
  unknown: 2,
  used: 3,
  elsewhere: 4,
  busy: 5,
  echoed: 6,
  parked: 7,
  bind: 8,
  bound: 9,
} as const;
export type LegStatus = keyof typeof legStatus;

/** Times and bounds of legs; milliseconds and bytes. Reasons: architecture section 5. */
export const legLimits = {
  preambleWithinMs: 2_000,
  /** As many as wait in the backlog of a listener: all of them are accepted in one turn, before the first is read. */
  undecidedSockets: 4_096,
  /** Inside TLS, where each has cost a handshake. */
  undecidedCarriers: 512,
  undecidedPerAddress: 64,
  ticketLifeMs: 10_000,
  aloneAfterMs: 5_000,
  earlyBytes: 16_384,
  bytesPerTurn: 65_536,
  noProgressMs: 30_000,
  keepAliveMs: 15_000,
  parkLifeMs: 45_000,
} as const;

/**
 * A leg inside TLS and a WebSocket: the ALPN name by which the router knows it in the first message of TLS, the path of the
 * upgrade, and the most bytes of one message. An empty message ends a direction.
 */
export const legCarrier = { protocol: 'sallyport-leg/1', path: '/v1/leg', messageBytes: 65_536 } as const;

/** Builds the 40 bytes that open a leg. */
export function encodePreamble(role: LegRole, ticket: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(preambleBytes);
  bytes.set(legMagic, 0);
  bytes[4] = legVersion;
  bytes[5] = legRole[role];
  bytes.set(ticket.subarray(0, ticketBytes), 8);
  return bytes;
}

export type Preamble =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'tls' }
  | { readonly kind: 'refused'; readonly why: 'magic' | 'version' | 'role' | 'reserved' }
  | { readonly kind: 'leg'; readonly role: LegRole; readonly ticket: Uint8Array };

/** Reads the opening bytes; decides as soon as it can, never looks past byte 40. */
export function decodePreamble(bytes: Uint8Array): Preamble {
  if (bytes.length === 0) return { kind: 'incomplete' };
  if (bytes[0] === 0x16) return { kind: 'tls' };
  const seen = Math.min(bytes.length, legMagic.length);
  for (let i = 0; i < seen; i++) if (bytes[i] !== legMagic[i]) return { kind: 'refused', why: 'magic' };
  if (bytes.length > 4 && bytes[4] !== legVersion) return { kind: 'refused', why: 'version' };
  const role = (Object.keys(legRole) as LegRole[]).find((name) => legRole[name] === bytes[5]);
  if (bytes.length > 5 && role === undefined) return { kind: 'refused', why: 'role' };
  if (bytes.length > 7 && (bytes[6] !== 0 || bytes[7] !== 0)) return { kind: 'refused', why: 'reserved' };
  if (bytes.length < preambleBytes || role === undefined) return { kind: 'incomplete' };
  return { kind: 'leg', role, ticket: bytes.slice(8, preambleBytes) };
}
