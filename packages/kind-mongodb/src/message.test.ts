import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readMessage, writeMessage } from './message.ts';

test('a message is read as it was written, once all of it is there', () => {
  fc.assert(
    fc.property(fc.nat(1_000), fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string()), (id, document) => {
      const bytes = writeMessage(id, document);
      expect(readMessage(bytes)).toMatchObject({ kind: 'message', length: bytes.byteLength, document });
      for (const length of [0, 20, bytes.byteLength - 1])
        expect(readMessage(bytes.subarray(0, length)).kind).toBe('incomplete');
    }),
  );
});

test('garbled messages are read, refused or waited for, and never thrown about', () => {
  const whole = writeMessage(1, { ok: 1, name: 'x'.repeat(40), list: [1, 2, { deep: true }], bytes: Buffer.alloc(9) });
  const change = fc.tuple(fc.nat(whole.byteLength - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
      const bytes = Buffer.from(whole);
      for (const [at, value] of changes) bytes[at] = value;
      const read = readMessage(bytes);
      expect(['incomplete', 'broken', 'message']).toContain(read.kind);
      if (read.kind === 'incomplete') expect(read.needs).toBeLessThanOrEqual(256 * 1024);
    }),
    { numRuns: 2_000 },
  );
});
