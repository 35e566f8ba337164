import { expect, test } from 'vitest';
import { retireWaitMs } from './retire-wait.ts';

test('what is left over is tried again after longer waits, and for less than a week', () => {
  const waits: number[] = [];
  for (let wait = retireWaitMs(0); wait !== null; wait = retireWaitMs(waits.length)) waits.push(wait);
  expect(waits).toEqual([...waits].sort((a, b) => a - b));
  expect(new Set(waits).size).toBe(waits.length);
  // A job that waits for nothing is over within minutes: a day is left for instances that are away.
  expect(waits.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(6.5 * 86_400_000);
});
