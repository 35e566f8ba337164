import { readFileSync } from 'node:fs';
import { PamError } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeFrame } from './encode-frame.ts';
import { type Frame, frameLimits, frameType } from './frame.ts';
import { FrameDecoder } from './frame-decoder.ts';

interface Vectors {
  readonly frames: readonly { readonly name: string; readonly hex: string; readonly frame: Record<string, unknown> }[];
  readonly refused: readonly { readonly name: string; readonly hex: string }[];
}
const vectors = JSON.parse(
  readFileSync(new URL('../../../../docs/protocol-vectors.json', import.meta.url), 'utf8'),
) as Vectors;

function decodeAll(chunks: readonly Uint8Array[]): Frame[] {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder();
  for (const chunk of chunks) decoder.push(chunk, (frame) => frames.push(frame));
  return joinData(frames);
}

function verdict(chunks: readonly Uint8Array[]): string {
  try {
    decodeAll(chunks);
    return 'frames';
  } catch (reason) {
    return reason instanceof PamError ? reason.code : String(reason);
  }
}

/** DATA comes in pieces; for comparing, neighbours are one. */
function joinData(frames: readonly Frame[]): Frame[] {
  const joined: Frame[] = [];
  for (const frame of frames) {
    const last = joined.at(-1);
    if (frame.kind === 'data' && last?.kind === 'data') {
      joined[joined.length - 1] = { kind: 'data', bytes: Buffer.concat([last.bytes, frame.bytes]) };
    } else joined.push(frame.kind === 'data' ? { kind: 'data', bytes: Buffer.from(frame.bytes) } : frame);
  }
  return joined;
}

const plain = (frame: Frame): unknown =>
  JSON.parse(
    JSON.stringify(frame, (_, value) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value), 0),
  );
const comparable = (frame: Frame): unknown => {
  if (frame.kind === 'data') return { kind: 'data', bytes: Buffer.from(frame.bytes).toString('hex') };
  if (frame.kind === 'ping' || frame.kind === 'pong') {
    return { kind: frame.kind, token: Buffer.from(frame.token).toString('hex') };
  }
  return plain(frame);
};
const whole = Buffer.concat(vectors.frames.map(({ hex }) => Buffer.from(hex, 'hex')));

test('there is a vector for every frame type', () => {
  const kinds = new Set(vectors.frames.map(({ frame }) => frame['kind']));
  expect(kinds).toEqual(new Set(Object.keys(frameType)));
});

test.each(vectors.frames)('decodes and encodes the documented bytes of $name', ({ hex, frame }) => {
  const [decoded] = decodeAll([Buffer.from(hex, 'hex')]);
  expect(decoded && comparable(decoded)).toEqual(frame);
  expect(decoded && Buffer.from(encodeFrame(decoded)).toString('hex')).toBe(hex);
});

test.each(vectors.refused)('refuses $name', ({ hex }) => {
  expect(() => decodeAll([Buffer.from(hex, 'hex')])).toThrow(PamError);
});

test('decodes the same frames when they are split at every byte', () => {
  const expected = decodeAll([whole]).map(comparable);
  for (let at = 0; at <= whole.length; at++) {
    expect(decodeAll([whole.subarray(0, at), whole.subarray(at)]).map(comparable)).toEqual(expected);
  }
  expect(decodeAll([...whole].map((byte) => Uint8Array.of(byte))).map(comparable)).toEqual(expected);
});

test('decodes the same frames under any splitting', () => {
  const expected = decodeAll([whole]).map(comparable);
  fc.assert(
    fc.property(fc.array(fc.nat(whole.length), { maxLength: 40 }), (cuts) => {
      const edges = [0, ...cuts.toSorted((a, b) => a - b), whole.length];
      const chunks = edges.slice(1).map((edge, i) => whole.subarray(edges[i], edge));
      expect(decodeAll(chunks).map(comparable)).toEqual(expected);
    }),
  );
});

test('answers any rubbish with frames or a protocol error, and keeps at most one control payload', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (chunks) => {
      expect(['frames', 'PAM_STREAM_PROTOCOL']).toContain(verdict(chunks));
    }),
    { numRuns: 2_000 },
  );
});

test('refuses an oversized payload on its header alone', () => {
  const decoder = new FrameDecoder();
  const header = Uint8Array.of(frameType.ready, 0, 0x40, 0x01);
  expect(() => decoder.push(header, () => undefined)).toThrow(/16385 bytes/);
});

test('stays refused after the first error', () => {
  const decoder = new FrameDecoder();
  expect(() => decoder.push(Uint8Array.of(99, 0, 0, 0), () => undefined)).toThrow(PamError);
  expect(() => decoder.push(encodeFrame({ kind: 'dialing' }), () => undefined)).toThrow(PamError);
});

test('does not encode what it would refuse to decode', () => {
  const bytes = new Uint8Array(frameLimits.data + 1);
  expect(() => encodeFrame({ kind: 'data', bytes })).toThrow(/65536/);
});

test('cuts the words of a reset at whole characters', () => {
  const [frame] = decodeAll([encodeFrame({ kind: 'reset', code: 'failed', text: 'ä'.repeat(200) })]);
  expect(frame).toEqual({ kind: 'reset', code: 'failed', text: 'ä'.repeat(128) });
});
