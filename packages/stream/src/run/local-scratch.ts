import { connect, type Socket } from 'node:net';
import { frameHeader } from '../frame/encode-frame.ts';
import { frameLimits } from '../frame/frame.ts';

/**
 * One buffer of the process into which local sockets made here read, with room for a frame's header before the bytes.
 * TLS encrypts within the write call, so the buffer is free again when the call returns: nothing is allocated or copied
 * per read, the buffer stays in the cache, and 64 KiB make exactly four TLS records.
 *
 * @see docs/notes/data-plane-profile.md
 */
const scratch = Buffer.allocUnsafeSlow(frameLimits.data);
const readable = scratch.subarray(frameLimits.header);
const sinks = new WeakMap<Socket, { onBytes: (bytes: Uint8Array) => boolean }>();

/**
 * Dials a local socket that suits a stream: half-open, without delay, reading into the shared buffer. It is paused until
 * a stream takes it.
 *
 * @param address - the address that was checked; no name is resolved here unless `host` is one.
 * @returns the socket, connecting: wait for `connect` or `error`.
 */
export function connectLocal(address: { readonly host: string; readonly port: number }): Socket {
  const sink = { onBytes: (_bytes: Uint8Array): boolean => false };
  const socket = connect({
    ...address,
    allowHalfOpen: true,
    noDelay: true,
    onread: { buffer: readable, callback: (length) => sink.onBytes(readable.subarray(0, length)) },
  });
  socket.pause();
  sinks.set(socket, sink);
  return socket;
}

/** Where the socket's reads go; null when it was not made by `connectLocal`. The bytes are good during the call only. */
export function scratchSink(socket: unknown): { onBytes: (bytes: Uint8Array) => boolean } | null {
  return sinks.get(socket as Socket) ?? null;
}

/** The whole DATA frame when `bytes` begin where the scratch's reads begin, else null. */
export function frameInScratch(bytes: Uint8Array): Uint8Array | null {
  if (bytes.buffer !== scratch.buffer || bytes.byteOffset !== readable.byteOffset) return null;
  scratch.set(frameHeader('data', bytes.length), 0);
  return scratch.subarray(0, frameLimits.header + bytes.length);
}

/** Bytes that last: a copy when they lie in the scratch. */
export function lasting(bytes: Uint8Array): Uint8Array {
  return bytes.buffer === scratch.buffer ? Buffer.from(bytes) : bytes;
}
