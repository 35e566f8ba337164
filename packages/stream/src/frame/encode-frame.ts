import { PamError } from '@sallyport/protocol';
import { type Frame, type FrameKind, frameLimits, frameType, goneCode, resetCode } from './frame.ts';

const text = new TextEncoder();

/** The 4 bytes before a payload of `length` bytes. */
export function frameHeader(kind: FrameKind, length: number): Uint8Array {
  return Uint8Array.of(frameType[kind], (length >> 16) & 255, (length >> 8) & 255, length & 255);
}

/**
 * Encodes one frame, header and payload.
 *
 * @throws PAM_TOO_LARGE when the payload is over its limit: the caller cuts DATA to 64 KiB.
 */
export function encodeFrame(frame: Frame): Uint8Array {
  const payload = encodePayload(frame);
  const limit = frame.kind === 'data' ? frameLimits.data : frameLimits.control;
  if (payload.length > limit) throw new PamError('PAM_TOO_LARGE', `a ${frame.kind} frame holds at most ${limit} bytes`);
  const bytes = new Uint8Array(frameLimits.header + payload.length);
  bytes.set(frameHeader(frame.kind, payload.length), 0);
  bytes.set(payload, frameLimits.header);
  return bytes;
}

function encodePayload(frame: Frame): Uint8Array {
  switch (frame.kind) {
    case 'ready':
    case 'open':
    case 'opened':
    case 'refused':
    case 'notice':
      return text.encode(JSON.stringify(frame.body));
    case 'dialing':
      return new Uint8Array(0);
    case 'data':
      return frame.bytes;
    case 'ack':
      return counts(frame.offset);
    case 'fin':
      return counts(frame.length);
    case 'window':
      return counts(frame.bytes);
    case 'resumed':
      return counts(frame.received);
    case 'ping':
    case 'pong':
      return frame.token;
    case 'reset':
      return encodeReset(frame.code, frame.text);
    case 'resume':
      return encodeResume(frame.stream, frame.gen, frame.received);
    case 'gone':
      return Uint8Array.of(0, goneCode[frame.code], ...counts(frame.received), frame.final ? 1 : 0);
    default:
      return frame satisfies never;
  }
}

function counts(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(value / 4_294_967_296));
  view.setUint32(4, value % 4_294_967_296);
  return bytes;
}

function encodeReset(code: keyof typeof resetCode, words: string): Uint8Array {
  const bytes = new Uint8Array(2 + frameLimits.resetText);
  bytes[1] = resetCode[code];
  const { written } = text.encodeInto(words, bytes.subarray(2));
  return bytes.subarray(0, 2 + written);
}

function encodeResume(stream: string, gen: number, received: number): Uint8Array {
  const bytes = new Uint8Array(frameLimits.streamId + 12);
  text.encodeInto(stream, bytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(frameLimits.streamId, gen);
  bytes.set(counts(received), frameLimits.streamId + 4);
  return bytes;
}
