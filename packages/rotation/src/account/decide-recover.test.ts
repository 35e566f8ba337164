import type { ItemUid, JobId } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { decideRecover, decideSeen, recoveredAtMost } from './decide-recover.ts';
import type { AccountRow } from './rows.ts';

const account: AccountRow = {
  ...{ account: 'a'.repeat(43), record: 'record' as ItemUid, epoch: 100, send: 7, current: 0, job: null },
  ...{ nextVersion: 3, leftover: null },
};
const job = 'job' as JobId;

test('[R5] numbers that an instance saw and the store does not know go above both', () => {
  expect(decideSeen(account, { epoch: 104, send: 6 }, 1_000)).toMatchObject({ epoch: 104, send: 7 });
  expect(decideSeen(account, { epoch: 99, send: 9 }, 1_000)).toMatchObject({ epoch: 100, send: 9 });
});

test('a store that knows as much stays as it is, and a number that nobody can have given out is not believed', () => {
  expect(decideSeen(account, { epoch: 100, send: 7 }, 1_000)).toBe(account);
  expect(decideSeen(account, { epoch: 1_000, send: 8 }, 1_000)).toBe(account);
  expect(decideSeen(account, { epoch: 101, send: 1_000 }, 1_000)).toBe(account);
});

test('what comes back is a version of its own, and nothing points to it', () => {
  const decision = decideRecover({ account, versions: [] }, { job, rev: 2, atMs: 9_000, recovered: 0 }, 5_000);
  expect(decision).toMatchObject({ ok: true, answer: { version: 3 } });
  expect(decision.rows.account).toEqual({ ...account, nextVersion: 4 });
  expect(decision.rows.versions).toMatchObject([{ n: 3, job, rev: 2, state: 'recovered', atMs: 5_000 }]);
});

test('an instance cannot fill the store: of one account only so many come back', () => {
  const request = { job, rev: 2, atMs: 1, recovered: recoveredAtMost };
  expect(decideRecover({ account, versions: [] }, request, 5_000)).toMatchObject({ ok: false, code: 'PAM_CONFLICT' });
});
