import type { TLSSocket } from 'node:tls';
import { frameLimits } from '../frame/frame.ts';
import { readByTurns, type TurnReader } from './turn-reader.ts';

/** A TurnReader whose chunks lie in one buffer of the connection, used again unless somebody says `keep`. */
export interface TlsReader extends TurnReader {
  /** Within `onBytes`: these bytes are needed longer; the next read gets another buffer. */
  keep(): void;
}

/** What one TLS record holds, and what Node hands out at most. */
const recordBytes = 16_384;

interface OnRead {
  buffer: symbol;
  callback: symbol;
  next: symbol;
  use: (buffer: Uint8Array) => void;
}

/**
 * Reads a TLS connection by turns without a fresh buffer per record: a quarter of a receiver's CPU went into making and
 * collecting those (docs/notes/data-plane-profile.md).
 *
 * Node has this as the option `onread`, but ignores it for TLS over a socket that exists already, and ours does: the
 * preamble of the leg goes first. So what the option would have set is set here. Where Node has no such fields any more
 * it reads as usual.
 */
export function readTlsByTurns(tls: TLSSocket, onBytes: (bytes: Uint8Array) => void): TlsReader {
  const inside = onReadOf(tls);
  if (inside === null) return { ...readByTurns(tls, onBytes), keep: () => undefined };
  let buffer = Buffer.allocUnsafeSlow(recordBytes);
  const early = drain(tls);
  const reader = turns(tls, early, onBytes, () => {
    buffer = Buffer.allocUnsafeSlow(recordBytes);
  });
  const fields = tls as unknown as Record<symbol, unknown>;
  fields[inside.buffer] = buffer;
  fields[inside.callback] = (length: number, bytes: Uint8Array) => reader.take(bytes.subarray(0, length));
  fields[inside.next] = () => buffer;
  inside.use(buffer);
  return reader;
}

function onReadOf(tls: TLSSocket): OnRead | null {
  const named = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(tls).find(({ description }) => description === name);
  const { _handle: handle } = tls as unknown as { _handle?: { useUserBuffer?: (buffer: Uint8Array) => void } | null };
  const [buffer, callback, next] = [named('kBuffer'), named('kBufferCb'), named('kBufferGen')];
  if (!buffer || !callback || !next || typeof handle?.useUserBuffer !== 'function') return null;
  return { buffer, callback, next, use: (bytes) => handle.useUserBuffer?.(bytes) };
}

/** What was read during the handshake. */
function drain(tls: TLSSocket): Uint8Array[] {
  const early: Uint8Array[] = [];
  for (let bytes = tls.read() as Buffer | null; bytes !== null; bytes = tls.read() as Buffer | null) early.push(bytes);
  return early;
}

function turns(
  tls: TLSSocket,
  early: Uint8Array[],
  onBytes: (bytes: Uint8Array) => void,
  renew: () => void,
): TlsReader & { take(bytes: Uint8Array): boolean } {
  let turnBytes = 0;
  let wanted = false;
  let turnSet = false;
  const goOn = (): void => {
    while (wanted && early.length > 0) onBytes(early.shift() ?? new Uint8Array(0));
    if (wanted && turnBytes < frameLimits.data) tls.resume();
  };
  const nextTurn = (): void => {
    turnSet = false;
    turnBytes = 0;
    goOn();
  };
  return {
    take(bytes) {
      turnBytes += bytes.length;
      if (!turnSet) {
        turnSet = true;
        setImmediate(nextTurn);
      }
      // A read that was under way when the wish ended waits its turn: it is copied, the buffer is used again.
      if (wanted && early.length === 0) onBytes(bytes);
      else early.push(Buffer.from(bytes));
      return wanted && turnBytes < frameLimits.data;
    },
    pause() {
      wanted = false;
      tls.pause();
    },
    resume() {
      wanted = true;
      goOn();
    },
    stop() {
      wanted = false;
    },
    keep: renew,
  };
}
