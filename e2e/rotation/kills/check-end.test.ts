import type { JobId, JobView } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import type { AccountState } from '../owner.ts';
import { type RunEnd, whatDoesNotHold } from './check-end.ts';

const job = 'job-of-the-run' as JobId;
const version = (n: number, by: JobId | null): AccountState['versions'][number] => ({
  ...{ n, job: by, state: by === null ? 'adopted' : 'promoted' },
  secrets: { password: `pw${n}`, custom: {} },
});

/** A run that rotated version 1 to version 2. */
function rotated(more: Partial<RunEnd> = {}): RunEnd {
  return {
    job: { job, state: 'done' } as JobView,
    before: { secrets: { password: 'pw1', custom: {} }, rev: 1 },
    state: {
      attention: null,
      current: 2,
      versions: [version(1, null), version(2, job)],
      secrets: { password: 'pw2', custom: {} },
      rev: 2,
    },
    opening: [2],
    vaultOpens: true,
    beside: null,
    ...more,
  };
}

test('a run that rotated is in order', () => {
  expect(whatDoesNotHold(rotated())).toEqual([]);
  expect(whatDoesNotHold(rotated({ beside: { unknown: 0, openingAfterNext: null } }))).toEqual([]);
});

test('of two that open, one is too many, but not where they stand beside each other until the next rotation', () => {
  expect(whatDoesNotHold(rotated({ opening: [1, 2] }))).toEqual(['K1 2 of 2 versions open']);
  expect(whatDoesNotHold(rotated({ opening: [1, 2], beside: { unknown: 0, openingAfterNext: 1 } }))).toEqual([]);
  expect(whatDoesNotHold(rotated({ opening: [1, 2], beside: { unknown: 0, openingAfterNext: 2 } }))).toEqual([
    'K1 2 versions open after another rotation that was not disturbed',
  ]);
});

test('nothing that opens may be unknown, and something known must open', () => {
  expect(whatDoesNotHold(rotated({ beside: { unknown: 1, openingAfterNext: null } }))).toEqual([
    'K5 1 credentials open that no version knows',
  ]);
  const lost = rotated({ opening: [], vaultOpens: false, beside: { unknown: 0, openingAfterNext: null } });
  expect(whatDoesNotHold(lost)).toEqual([
    'K1 0 of 2 versions open',
    'K2 the vault does not open the account, and says nothing',
  ]);
});
