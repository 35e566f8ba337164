import {
  noticeBodySchema,
  openBodySchema,
  openedBodySchema,
  PamError,
  readyBodySchema,
  refusedBodySchema,
  streamIdSchema,
} from '@sallyport/protocol';
import {
  type Frame,
  type FrameKind,
  frameLimits,
  frameType,
  type GoneCode,
  goneCode,
  type ResetCode,
  resetCode,
} from './frame.ts';

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Smallest and largest payload of each kind, bytes. */
const sizes: Readonly<Record<FrameKind, readonly [number, number]>> = {
  ready: [2, frameLimits.control],
  open: [2, frameLimits.control],
  dialing: [0, 0],
  opened: [2, frameLimits.control],
  refused: [2, frameLimits.control],
  data: [1, frameLimits.data],
  ack: [8, 8],
  fin: [8, 8],
  reset: [2, 2 + frameLimits.resetText],
  window: [8, 8],
  ping: [frameLimits.token, frameLimits.token],
  pong: [frameLimits.token, frameLimits.token],
  resume: [frameLimits.streamId + 12, frameLimits.streamId + 12],
  resumed: [8, 8],
  gone: [11, 11],
  notice: [2, frameLimits.control],
};
const kinds = new Map((Object.keys(frameType) as FrameKind[]).map((kind) => [frameType[kind] as number, kind]));
const resetNames = new Map((Object.keys(resetCode) as ResetCode[]).map((name) => [resetCode[name] as number, name]));
const goneNames = new Map((Object.keys(goneCode) as GoneCode[]).map((name) => [goneCode[name] as number, name]));

/** Reads a type byte and a length; refuses before a payload is buffered. */
export function checkHeader(type: number, length: number): FrameKind {
  const kind = kinds.get(type);
  if (kind === undefined) throw broken(`unknown frame type ${type}`);
  const [least, most] = sizes[kind];
  if (length < least || length > most) throw broken(`a ${kind} frame of ${length} bytes`);
  return kind;
}

/** Decodes a whole payload of a checked length; DATA never comes here. */
export function decodePayload(kind: Exclude<FrameKind, 'data'>, bytes: Uint8Array): Frame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (kind) {
    case 'ready':
      return { kind, body: json(kind, readyBodySchema, bytes) };
    case 'open':
      return { kind, body: json(kind, openBodySchema, bytes) };
    case 'opened':
      return { kind, body: json(kind, openedBodySchema, bytes) };
    case 'refused':
      return { kind, body: json(kind, refusedBodySchema, bytes) };
    case 'notice':
      return { kind, body: json(kind, noticeBodySchema, bytes) };
    case 'dialing':
      return { kind };
    case 'ack':
      return { kind, offset: count(view, 0) };
    case 'fin':
      return { kind, length: count(view, 0) };
    case 'window':
      return { kind, bytes: count(view, 0) };
    case 'resumed':
      return { kind, received: count(view, 0) };
    case 'ping':
    case 'pong':
      return { kind, token: bytes };
    case 'reset':
      return { kind, code: named(resetNames, view, 'reset'), text: words(bytes.subarray(2)) };
    case 'resume':
      return decodeResume(bytes, view);
    case 'gone':
      return { kind, code: named(goneNames, view, 'gone'), received: count(view, 2), final: view.getUint8(10) === 1 };
    default:
      return kind satisfies never;
  }
}

function decodeResume(bytes: Uint8Array, view: DataView): Frame {
  const stream = streamIdSchema.safeParse(words(bytes.subarray(0, frameLimits.streamId)));
  if (!stream.success) throw broken('a resume frame without a stream id');
  const received = count(view, frameLimits.streamId + 4);
  return { kind: 'resume', stream: stream.data, gen: view.getUint32(frameLimits.streamId), received };
}

function count(view: DataView, at: number): number {
  const value = view.getUint32(at) * 4_294_967_296 + view.getUint32(at + 4);
  if (!Number.isSafeInteger(value)) throw broken('a byte count over 2^53');
  return value;
}

function named<Name>(names: ReadonlyMap<number, Name>, view: DataView, what: string): Name {
  const name = names.get(view.getUint16(0));
  if (name === undefined) throw broken(`an unknown ${what} code`);
  return name;
}

function words(bytes: Uint8Array): string {
  try {
    return text.decode(bytes);
  } catch (reason) {
    throw broken('text that is not UTF-8', reason);
  }
}

interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false };
}

function json<T>(kind: FrameKind, schema: Schema<T>, bytes: Uint8Array): T {
  let value: unknown;
  try {
    value = JSON.parse(words(bytes));
  } catch (reason) {
    throw PamError.from(reason, 'PAM_STREAM_PROTOCOL', `the ${kind} frame is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw broken(`the ${kind} frame does not have the form of version 1`);
  return parsed.data;
}

function broken(what: string, cause?: unknown): PamError {
  return new PamError('PAM_STREAM_PROTOCOL', `the other end sent ${what}`, { cause });
}
