import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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

test('nothing else of this package needs Node: a page opens envelopes with it', () => {
  const src = join(import.meta.dirname, '..');
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .filter((file) => /from 'node:|import\('node:|\bBuffer\b/.test(readFileSync(join(src, file), 'utf8')));
  expect(files).toEqual(['digest/node-digest.ts']);
});
