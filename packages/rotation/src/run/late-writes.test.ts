import { expect, test } from 'vitest';
import { needsRechecks } from './late-writes.ts';

test('a target that keeps late writes out needs no further look', () => {
  expect(needsRechecks('number', 2, ['number'])).toBe(false);
  expect(needsRechecks('evict', 0, [])).toBe(false);
});

test('where the login decides, every write of the run must have been kept out', () => {
  expect(needsRechecks('none', 0, ['number', 'number'])).toBe(false);
  expect(needsRechecks('none', 0, ['number', 'none'])).toBe(true);
  expect(needsRechecks('none', 1, ['number'])).toBe(true);
});
