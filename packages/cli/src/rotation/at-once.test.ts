import { expect, test } from 'vitest';
import { mapAtOnce } from './at-once.ts';

test('never more at the same time than it may, each once, answered in order', async () => {
  let running = 0;
  let most = 0;
  const double = async (n: number): Promise<number> => {
    running += 1;
    most = Math.max(most, running);
    for (let turn = 0; turn < 10 - n; turn += 1) await Promise.resolve();
    running -= 1;
    return n * 2;
  };
  expect(await mapAtOnce([1, 2, 3, 4, 5, 6, 7], 3, double)).toEqual([2, 4, 6, 8, 10, 12, 14]);
  expect(most).toBe(3);
  expect(await mapAtOnce([], 3, double)).toEqual([]);
});

test('what fails is thrown, and nothing new is begun by whoever failed', async () => {
  const begun: number[] = [];
  const run = async (n: number): Promise<void> => {
    begun.push(n);
    if (n === 1) throw new Error('the first');
  };
  await expect(mapAtOnce([1, 2, 3], 1, run)).rejects.toThrow('the first');
  expect(begun).toEqual([1]);
});
