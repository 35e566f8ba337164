import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newMemory, newsIn, type Sighting, together, withNews } from './memory.ts';

const hash = 'h'.repeat(43);
const jws = 'x.y.z';
const knowing = (seen: readonly Sighting[]) =>
  seen.reduce((memory, one) => withNews(memory, newsIn(memory, one) ?? {}), newMemory());

test('only the highest head of each start is remembered, and the latest hundred starts', () => {
  const heads = Array.from({ length: 120 }, (_, n) => ({ auditHeads: { [String(n + 1)]: { seq: 2, hash, jws } } }));
  const memory = knowing(heads);
  expect(newsIn(memory, { auditHeads: { '120': { seq: 1, hash, jws } } })).toBeNull();
  expect(Object.keys(memory.auditHeads)).toHaveLength(100);
  expect(memory.auditHeads['21']).toBeDefined();
});

const sighting: fc.Arbitrary<Sighting> = fc.record(
  {
    logHead: fc.record({ n: fc.nat(5), hash: fc.constant(hash) }),
    revs: fc.dictionary(
      fc.constantFrom('a/facts', 'b/facts'),
      fc.record({ rev: fc.integer({ min: 1, max: 5 }), hash: fc.constant(hash) }),
    ),
    auditHeads: fc.dictionary(
      fc.constantFrom('1', '2'),
      fc.record({ seq: fc.nat(5), hash: fc.constant(hash), jws: fc.constant(jws) }),
    ),
  },
  { requiredKeys: [] },
);

test('nothing is ever gone behind, in whatever order it was seen, however often, at once or one by one', () => {
  fc.assert(
    fc.property(fc.array(sighting, { maxLength: 8 }), fc.nat(), (seen, turn) => {
      const at = turn % (seen.length + 1);
      const otherwise = [...seen.slice(at), ...seen.slice(0, at), ...seen];
      expect(knowing(otherwise)).toEqual(knowing(seen));
      expect(knowing([together(seen)])).toEqual(knowing(seen));
    }),
  );
});
