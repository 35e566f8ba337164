import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sha256 as ofNode } from './node-digest.ts';
import { sha256 as ofPage } from './web-digest.ts';

test('the two make the same digests', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 2_000 }), async (bytes) => {
      const same = new Uint8Array(bytes);
      expect(await ofNode(same)).toEqual(await ofPage(same));
    }),
    { numRuns: 50 },
  );
});
