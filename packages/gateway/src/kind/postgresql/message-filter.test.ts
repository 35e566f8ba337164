import fc from 'fast-check';
import { expect, test } from 'vitest';
import { messageFilter } from './message-filter.ts';

const message = (type: string, payload: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeUInt32BE(payload.byteLength + 4, 1);
  return Buffer.concat([head, payload]);
};
const text = (value: string): Buffer => Buffer.from(value, 'latin1');

const good: readonly Buffer[] = [
  message('R', text('\0\0\0\x0aSCRAM-SHA-256\0\0')),
  message('R', text('\0\0\0\0')),
  message('S', text('name\0value\0')),
  message('K', text('12345678')),
  message('Z', text('I')),
  message('E', text('SFATAL\0C28P01\0\0')),
  message('T', Buffer.concat([text('\0\x01mark\0'), Buffer.alloc(18)])),
  message('D', text('\0\x02\0\0\0\x01x\xff\xff\xff\xff')),
  message('C', text('COMMIT\0')),
];

test('whole messages pass, however they are cut', () => {
  const all = Buffer.concat(good);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: all.byteLength }), { maxLength: 12 }), (cuts) => {
      const filter = messageFilter();
      const places = [0, ...cuts.sort((a, b) => a - b), all.byteLength];
      const out = places.slice(1).map((end, index) => filter(all.subarray(places[index], end)));
      expect(Buffer.concat(out).equals(all)).toBe(true);
    }),
  );
});

test.each([
  ['methods without an end', message('R', text('\0\0\0\x0aSCRAM-SHA-256\0'))],
  ['no methods at all', message('R', text('\0\0\0\x0a'))],
  ['an error without an end', message('E', text('SFATAL\0'))],
  ['a field without an end', message('E', text('SFATAL'))],
  ['a setting without a value', message('S', text('name\0'))],
  ['a tag without an end', message('C', text('COMMIT'))],
  ['fewer columns than it says', message('T', text('\xff\xff'))],
  ['a value longer than the row', message('D', text('\0\x01\x7f\xff\xff\xff'))],
  ['a length of nothing', text('Z\0\0\0\0')],
  ['a length of four gigabytes', text('Z\xff\xff\xff\xff')],
])('%s is not passed on', (_, bytes) => {
  expect(() => messageFilter()(bytes)).toThrow('protocol of PostgreSQL');
});

test('what passes is made of what came in, and nothing is read past its end', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), (chunks) => {
      const filter = messageFilter();
      let passed = 0;
      try {
        for (const chunk of chunks) passed += filter(Buffer.from(chunk)).byteLength;
      } catch (reason) {
        expect(reason).toHaveProperty('code', 'PAM_TARGET_RESET');
      }
      expect(passed).toBeLessThanOrEqual(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0));
    }),
  );
});
