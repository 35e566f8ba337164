import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodePong, encodePing } from './beat.ts';

test('a ping is two big-endian numbers, and a pong of any other size or interval proves nothing', () => {
  expect([...encodePing(258, 4_294_967_295)]).toEqual([0, 0, 1, 2, 255, 255, 255, 255]);
  expect(decodePong(Uint8Array.of(0, 0, 1, 2, 0, 0, 0, 250))).toEqual({ seq: 258, beatMs: 250 });
  expect(decodePong(Uint8Array.of(0, 0, 1, 2, 0, 0, 0, 1))).toBeNull();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 32 }), (bytes) => {
      const pong = decodePong(bytes);
      if (pong !== null) expect(bytes).toHaveLength(8);
    }),
  );
});
