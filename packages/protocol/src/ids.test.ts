import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { itemUidSchema, newUid, toBase64url } from './ids.ts';

test('base64url is what the platform makes of the same bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      expect(toBase64url(bytes)).toBe(Buffer.from(bytes).toString('base64url'));
    }),
  );
});

test('a UID begins with a letter, so that no command line takes it for an option', () => {
  for (let i = 0; i < 500; i++) expect(itemUidSchema.safeParse(newUid((n) => randomBytes(n))).success).toBe(true);
});

test('a draw that does not begin with a letter is drawn again', () => {
  const draws = [new Uint8Array(16).fill(0xff), new Uint8Array(16).fill(0xf8), new Uint8Array(16)];
  expect(newUid(() => draws.shift() ?? new Uint8Array(16))).toBe('A'.repeat(22));
});
