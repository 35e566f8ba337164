/** Payloads of WebSocket ping and pong on the control link: 8 bytes, two u32, big endian (docs/protocol-api.md). */

/** The instance's ping: its number, and the number of the last pong it saw. `null` when it is no beat. */
export function decodePing(data: Uint8Array): { readonly seq: number; readonly heard: number } | null {
  if (data.length !== 8) return null;
  const view = new DataView(data.buffer, data.byteOffset, 8);
  return { seq: view.getUint32(0), heard: view.getUint32(4) };
}

/** The router's pong: the ping's number, and the interval of beats it wants, ms. */
export function encodePong(seq: number, beatMs: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, seq >>> 0);
  view.setUint32(4, beatMs >>> 0);
  return bytes;
}
