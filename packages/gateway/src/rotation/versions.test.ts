import { expect, test } from 'vitest';
import { versionBefore } from './versions.ts';

test('before a promotion the record held the newest version that it ever held, never a candidate', () => {
  const versions = [
    { n: 5, state: 'candidate' },
    { n: 4, state: 'promoted' },
    { n: 3, state: 'refused' },
    { n: 2, state: 'candidate' },
    { n: 1, state: 'promoted' },
    { n: 0, state: 'adopted' },
  ] as const;
  expect([5, 4, 1, 0].map((n) => versionBefore(versions, n))).toEqual([4, 1, 0, null]);
});
