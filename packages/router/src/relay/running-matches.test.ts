import { expect, test } from 'vitest';
import { createRunningMatches } from './running-matches.ts';

test('a router is quiet when no pair of legs runs and none placed a moment ago may still come', () => {
  const matches = createRunningMatches();
  expect(matches.isQuiet(0)).toBe(true);
  matches.placed(1_000);
  expect(matches.isQuiet(1_999)).toBe(false);
  matches.began();
  expect(matches.isQuiet(9_000)).toBe(false);
  expect(matches.count()).toBe(1);
  matches.ended();
  expect(matches.isQuiet(9_000)).toBe(true);
});
