/**
 * Payloads of beats (WebSocket ping and pong): ping = u32 seq, u32 seq of the last pong heard; pong = u32 seq echoed,
 * u32 beat interval in ms. Big-endian, 8 bytes.
 *
 * @see packages/protocol/src/link/messages.ts
 */
const beatBytes = 8;

export function encodePing(seq: number, heard: number): Uint8Array {
  const bytes = new Uint8Array(beatBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, seq);
  view.setUint32(4, heard);
  return bytes;
}

/** Null for anything but 8 bytes with an interval of 50 ms to 60 s: such a pong proves nothing. */
export function decodePong(bytes: Uint8Array): { readonly seq: number; readonly beatMs: number } | null {
  if (bytes.length !== beatBytes) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, beatBytes);
  const beatMs = view.getUint32(4);
  return beatMs >= 50 && beatMs <= 60_000 ? { seq: view.getUint32(0), beatMs } : null;
}
