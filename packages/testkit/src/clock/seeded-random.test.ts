import { expect, test } from 'vitest';
import { createSeededRandom } from './seeded-random.ts';

test('one seed gives one run, another seed another', () => {
  const run = (seed: number): number[] => Array.from({ length: 5 }, createSeededRandom(seed).next);
  expect(run(7)).toEqual(run(7));
  expect(run(7)).not.toEqual(run(8));
});

test('numbers stay in their range and reach all of it', () => {
  const random = createSeededRandom(1);
  const seen = new Set(Array.from({ length: 1_000 }, () => random.below(6)));
  expect([...seen].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(random.shuffled([1, 2, 3, 4]).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4]);
  expect(random.bytes(16)).toHaveLength(16);
});
