import type { NextMessage } from '../target/holding-proxy.ts';

const modifyTag = 0x66;

/** Messages of LDAP, of which every Modify is held. */
export const modifyMessage: NextMessage = (bytes) => {
  const sizeOf = (at: number): { start: number; size: number } | null => {
    const first = bytes[at + 1];
    if (first === undefined) return null;
    const more = first < 0x80 ? 0 : first & 0x7f;
    if (bytes.byteLength < at + 2 + more) return null;
    return { start: at + 2 + more, size: more === 0 ? first : bytes.readUIntBE(at + 2, more) };
  };
  const whole = sizeOf(0);
  const id = whole === null ? null : sizeOf(whole.start);
  if (whole === null || id === null || bytes.byteLength < whole.start + whole.size) return null;
  return { end: whole.start + whole.size, isHeld: bytes[id.start + id.size] === modifyTag };
};
