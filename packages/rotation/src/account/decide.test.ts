import type { InstanceId, ItemUid, JobId } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import type { AccountRows, Decision } from './account-rows.ts';
import { decideClaim } from './decide-claim.ts';
import { decideCancel, decideFinish, decidePromote, decideWait } from './decide-end.ts';
import { decideLogin, staysTaken } from './decide-login.ts';
import { decidePermit } from './decide-permit.ts';
import { decideReport } from './decide-report.ts';
import { decideResolve } from './decide-resolve.ts';
import { decideStage } from './decide-stage.ts';
import { probeBudget } from './rows.ts';

const account = 'a'.repeat(43);
const record = 'record' as ItemUid;
const one = 'one' as InstanceId;
const two = 'two' as InstanceId;

const fresh: AccountRows = {
  account: { account, record, epoch: 100, send: 0, current: null, job: null, nextVersion: 0, leftover: null },
  job: {
    ...{ id: 'job' as JobId, kind: 'rotate', record, account: null, state: 'queued', step: 'new', holder: null },
    ...{ epoch: null, attempts: 0, base: null, candidate: null, rejections: 0, sends: [], address: null },
    ...{ notBeforeMs: 0, cancelAsked: false, followUps: [], why: '' },
  },
  versions: [],
  logins: [],
};

function done<Answer, Rows>(decision: Decision<Answer, Rows>): { rows: Rows; answer: Answer } {
  if (!decision.ok) throw new Error(`${decision.code}: ${decision.why}`);
  return decision;
}
function code(decision: Decision<unknown, unknown>): string {
  return decision.ok ? 'ok' : decision.code;
}

const claim = (rows: AccountRows, instance = one, lease = 1, secretsRev = 4) =>
  decideClaim(rows, { instance, lease, secretsRev }, 1_000);
const claimed = done(claim(fresh)).rows;
const holder = { instance: one, epoch: 101 };
const staged = done(decideStage(claimed, { ...holder, rev: 5 }, 2_000)).rows;
const permitted = done(decidePermit(staged, { ...holder, mark: 7, adds: false, address: 'note' })).rows;
const report = (rows: AccountRows, what: Parameters<typeof decideReport>[1]['what']) =>
  decideReport(rows, { ...holder, what });
const applied = done(report(permitted, { kind: 'wrote', send: 8, outcome: 'applied' })).rows;
const verified = done(report(applied, { kind: 'verified', version: 1, send: 8 })).rows;
const promoted = done(decidePromote(verified, { ...holder, version: 1, secretsRev: 4 })).rows;
const away = (rows: AccountRows): AccountRows => ({ ...rows, job: { ...rows.job, state: 'queued', holder: null } });

test('a run: claimed, staged, permitted above what the target shows, applied, verified, promoted, done', () => {
  expect(claimed.versions.map(({ n, rev, state }) => [n, rev, state])).toEqual([[0, 4, 'adopted']]);
  expect(claimed.account).toMatchObject({ epoch: 101, current: 0, job: 'job', nextVersion: 1 });
  expect(staged.job).toMatchObject({ step: 'intent', candidate: 1, attempts: 0, base: 4 });
  expect(permitted.account.send).toBe(8);
  expect(promoted.account.current).toBe(1);
  const ended = done(decideFinish(promoted, { ...holder, outcome: 'done', why: 'rotated' })).rows;
  expect(ended.job).toMatchObject({ state: 'done', step: 'done', holder: null });
  expect(ended.account.job).toBeNull();
  expect(ended.versions.map(({ n, state }) => [n, state])).toEqual([
    [1, 'promoted'],
    [0, 'adopted'],
  ]);
});

test('[R5] every claim is a greater epoch, and who had an older one writes nothing any more', () => {
  const taken = done(claim(away(permitted), two, 9)).rows;
  expect(taken.job).toMatchObject({ epoch: 102, step: 'permitted', candidate: 1 });
  for (const decision of [
    decideStage(taken, { ...holder, rev: 5 }, 0),
    decidePermit(taken, { ...holder, mark: 0, adds: false, address: 'note' }),
    report(taken, { kind: 'wrote', send: 8, outcome: 'applied' }),
    decidePromote(taken, { ...holder, version: 1, secretsRev: 4 }),
    decideWait(taken, { ...holder, inMs: 0, why: 'none' }, 0),
    decideFinish(taken, { ...holder, outcome: 'done', why: 'none' }),
    // The right epoch under another name.
    decidePermit(taken, { instance: one, epoch: 102, mark: 0, adds: false, address: 'note' }),
  ]) {
    expect(code(decision)).toBe('PAM_JOB_FENCED');
  }
  expect(code(decidePermit(away(taken), { instance: two, epoch: 102, mark: 0, adds: false, address: 'note' }))).toBe(
    'PAM_JOB_FENCED',
  );
  expect(
    done(decidePermit(taken, { instance: two, epoch: 102, mark: 0, adds: false, address: 'note' })).answer.send,
  ).toBe(9);
});

test('a claim whose answer was lost is answered again, and nobody else gets what is held', () => {
  const again = done(claim(claimed));
  expect(again.answer).toEqual({ epoch: 101, again: true, adopted: null });
  expect(again.rows).toBe(claimed);
  expect(code(claim(claimed, two))).toBe('PAM_JOB_FENCED');
  expect(code(claim(claimed, one, 2))).toBe('PAM_JOB_FENCED');
});

test('a record without secrets begins with version 1, and nothing is adopted', () => {
  const { rows } = done(claim(fresh, one, 1, 0));
  expect([rows.versions, rows.account.current, rows.account.nextVersion, rows.job.base]).toEqual([[], null, 1, 0]);
  const first = done(decideStage(rows, { ...holder, rev: 1 }, 0));
  expect(first.answer.version).toBe(1);
});

test('[I15] the fourth claim without progress is poison, progress and giving back start the count anew', () => {
  let rows = fresh;
  for (let n = 0; n < 3; n += 1) rows = away(done(claim(rows)).rows);
  const fourth = claim(rows);
  expect(code(fourth)).toBe('PAM_JOB_POISON');
  expect(fourth.rows.job).toMatchObject({ state: 'attention', why: 'poison' });
  expect(fourth.rows.account.job).toBeNull();
  const third = done(claim(rows.job.attempts === 3 ? { ...rows, job: { ...rows.job, attempts: 2 } } : rows)).rows;
  const epoch = third.job.epoch ?? 0;
  expect(done(decideStage(third, { instance: one, epoch, rev: 5 }, 0)).rows.job.attempts).toBe(0);
  expect(done(decideWait(third, { instance: one, epoch, inMs: 5, why: 'locked' }, 10)).rows.job).toMatchObject({
    ...{ attempts: 2, state: 'waiting', notBeforeMs: 15 },
  });
});

test('[R7] one open job an account, one candidate at a time, and no permit without one', () => {
  const other = { ...fresh, account: { ...fresh.account, job: 'other' as JobId } };
  expect(code(claim(other))).toBe('PAM_JOB_BUSY');
  expect(claim(other).rows.job).toMatchObject({ state: 'waiting', why: 'account-busy' });
  expect(code(claim({ ...fresh, account: { ...fresh.account, record: 'else' as ItemUid } }))).toBe(
    'PAM_ACCOUNT_SHARED',
  );
  expect(code(decidePermit(claimed, { ...holder, mark: 0, adds: false, address: 'note' }))).toBe('PAM_CONFLICT');
  expect(code(decideStage(staged, { ...holder, rev: 5 }, 0))).toBe('PAM_CONFLICT');
  expect(code(decideStage(claimed, { ...holder, rev: 6 }, 0))).toBe('PAM_CONFLICT');
  expect(code(decidePermit(verified, { ...holder, mark: 0, adds: false, address: 'note' }))).toBe('PAM_CONFLICT');
});

test('[R8] a candidate the policy refused is kept, and the next one has a number of its own', () => {
  const refused = done(report(permitted, { kind: 'wrote', send: 8, outcome: 'policy' })).rows;
  expect(refused.job).toMatchObject({ candidate: null, rejections: 1, step: 'new' });
  const next = done(decideStage(refused, { ...holder, rev: 5 }, 0)).rows;
  expect(next.versions.map(({ n, state }) => [n, state])).toEqual([
    [2, 'candidate'],
    [1, 'refused'],
    [0, 'adopted'],
  ]);
  const weary = { ...refused, job: { ...refused.job, rejections: 5 } };
  expect(code(decideStage(weary, { ...holder, rev: 5 }, 0))).toBe('PAM_CONFLICT');
});

test('[R9] a record that was edited, or removed, is not written over', () => {
  for (const secretsRev of [5, 3, null]) {
    const decision = done(decidePromote(verified, { ...holder, version: 1, secretsRev }));
    expect(decision.answer.kind).toBe('edited');
    expect(decision.rows).toBe(verified);
  }
  expect(code(decidePromote(applied, { ...holder, version: 1, secretsRev: 4 }))).toBe('PAM_CONFLICT');
  expect(code(decidePromote(verified, { ...holder, version: 0, secretsRev: 4 }))).toBe('PAM_CONFLICT');
  expect(done(decidePromote(promoted, { ...holder, version: 1, secretsRev: 5 })).answer).toEqual({
    ...{ kind: 'promoted', again: true },
  });
});

test('who waits in place says until when, and goes on from the same step', () => {
  const { job } = done(report(applied, { kind: 'waits', why: 'budget', untilMs: 90_000 })).rows;
  expect(job).toMatchObject({ state: 'running', step: 'applied', why: 'budget', notBeforeMs: 90_000 });
});

test('what was written and not promoted is not called done', () => {
  expect(code(decideFinish(applied, { ...holder, outcome: 'done', why: 'rotated' }))).toBe('PAM_CONFLICT');
  const ended = done(decideFinish(applied, { ...holder, outcome: 'attention', why: 'nothing-opens' })).rows;
  expect(done(decideFinish(ended, { ...holder, outcome: 'attention', why: 'x' })).answer.again).toBe(true);
  expect(code(decideFinish(ended, { ...holder, outcome: 'done', why: 'x' }))).toBe('PAM_JOB_ENDED');
});

test('cancelled before the first permit it ends at once, afterwards it is asked to stop', () => {
  const early = done(decideCancel(staged));
  expect(early.answer.ended).toBe(true);
  expect([early.rows.job.state, early.rows.account?.job]).toEqual(['cancelled', null]);
  const late = done(decideCancel(permitted));
  expect([late.answer.ended, late.rows.job.cancelAsked, late.rows.job.state]).toEqual([false, true, 'running']);
  expect(done(decideCancel({ account: null, job: fresh.job })).answer.ended).toBe(true);
  expect(code(decideCancel(early.rows))).toBe('PAM_JOB_ENDED');
});

test('[R6] two refused logins in half an hour, whoever takes them; one that opened costs nothing', () => {
  let rows: Parameters<typeof decideLogin>[0] = { account: { account }, logins: [] };
  const ask = (id: string, act: 'take' | 'return', nowMs: number) => {
    const decision = decideLogin(rows, { id, act }, nowMs);
    rows = decision.rows;
    return [decision.granted, decision.inMs];
  };
  expect(ask('first', 'take', 0)).toEqual([true, 0]);
  expect(ask('first', 'take', 0)).toEqual([true, 0]);
  expect(ask('second', 'take', 10)).toEqual([true, 0]);
  expect(ask('third', 'take', 20)).toEqual([false, probeBudget.windowMs - 20]);
  expect(ask('second', 'return', 30)).toEqual([true, 0]);
  expect(ask('third', 'take', 40)).toEqual([true, 0]);
  expect(ask('fourth', 'take', probeBudget.windowMs - 1)).toEqual([false, 1]);
  expect(ask('fourth', 'take', probeBudget.windowMs)).toEqual([true, 0]);
});

test('[R6] only what the server was not shown, and what opened, is given back', () => {
  const said = ['opens', 'refused', 'locked', 'expired', 'unreachable', 'unknown'] as const;
  expect(said.filter(staysTaken)).toEqual(['refused', 'locked', 'expired', 'unknown']);
});

test('a decision of a person makes the version he names the current one, and changes no row', () => {
  const ended = done(decideFinish(applied, { ...holder, outcome: 'attention', why: 'nothing-opens' })).rows;
  expect(code(decideResolve(applied, { version: null, rev: null }, 0))).toBe('PAM_JOB_BUSY');
  expect(done(decideResolve(ended, { version: null, rev: null }, 0)).answer.adopted).toBeNull();
  expect(code(decideResolve(ended, { version: 1, rev: null }, 0))).toBe('PAM_CONFLICT');
  expect(code(decideResolve(ended, { version: 9, rev: 5 }, 0))).toBe('PAM_CONFLICT');
  const resolved = done(decideResolve(ended, { version: 1, rev: 5 }, 0)).rows;
  expect(resolved.account).toMatchObject({ current: 2, nextVersion: 3 });
  expect(resolved.versions.slice(1)).toEqual(ended.versions);
});

test('a run that may have changed the account never ends as failed or cancelled', () => {
  const end = (rows: AccountRows, outcome: 'failed' | 'cancelled' | 'attention') =>
    code(decideFinish(rows, { ...holder, outcome, why: 'denied' }));
  expect(end(staged, 'failed')).toBe('ok');
  for (const rows of [
    permitted,
    applied,
    done(report(permitted, { kind: 'wrote', send: 8, outcome: 'unknown' })).rows,
  ]) {
    expect(end(rows, 'failed')).toBe('PAM_CONFLICT');
    expect(end(rows, 'cancelled')).toBe('PAM_CONFLICT');
    expect(end(rows, 'attention')).toBe('ok');
  }
  expect(end(done(report(permitted, { kind: 'wrote', send: 8, outcome: 'denied' })).rows, 'failed')).toBe('ok');
  expect(end(promoted, 'failed')).toBe('ok');
});

test('[R10] a write beside others leaves something over until it is seen removed, or nothing was changed by it', () => {
  const permit = (rows: AccountRows, adds: boolean) =>
    done(decidePermit(rows, { ...holder, mark: 0, adds, address: 'note' })).rows;
  expect(permit(staged, false).account.leftover).toBeNull();
  const added = permit(staged, true);
  expect(added.account.leftover).toBe(added.account.send);
  // A second write of the run does not hide the first.
  expect(permit(added, true).account.leftover).toBe(added.account.leftover);

  const wrote = (rows: AccountRows, outcome: 'applied' | 'denied' | 'unknown') =>
    done(decideReport(rows, { ...holder, what: { kind: 'wrote', send: rows.account.send, outcome } })).rows;
  const finish = (rows: AccountRows, outcome: 'failed' | 'attention') =>
    done(decideFinish(rows, { ...holder, outcome, why: 'x' })).rows.account.leftover;
  expect(finish(wrote(added, 'denied'), 'failed')).toBeNull();
  expect(finish(wrote(added, 'unknown'), 'attention')).toBe(added.account.leftover);
  const before = { ...staged, account: { ...staged.account, leftover: 3 } };
  expect(finish(wrote(permit(before, true), 'denied'), 'failed')).toBe(3);
});

test('[R10] only what keeps the promoted version, or the one that the vault holds, says that older ones are removed', () => {
  const leftover = { ...claimed.account, current: 1, leftover: 3 };
  const retired = (job: Partial<AccountRows['job']>, version: number) =>
    decideReport(
      { ...claimed, account: leftover, job: { ...claimed.job, ...job } },
      { ...holder, what: { kind: 'retired', version } },
    );
  expect(done(retired({ kind: 'retire' }, 1)).rows.account.leftover).toBeNull();
  expect(code(retired({ kind: 'retire' }, 0))).toBe('PAM_CONFLICT');
  // The record was edited since: the vault holds another version than the run wrote.
  expect(done(retired({ step: 'promoted', candidate: 2 }, 2)).rows.account.leftover).toBeNull();
  expect(code(retired({ step: 'verified', candidate: 2 }, 2))).toBe('PAM_CONFLICT');
});

test('I15 what follows a rotation is progress when it begins or ends for the first time, so no script makes a job poison', () => {
  const one_ = { kind: 'follow-up', name: 'f'.repeat(43), isOnce: true } as const;
  const tired = { ...promoted, job: { ...promoted.job, attempts: 3 } };
  const begun = done(report(tired, { ...one_, state: 'begun' })).rows;
  expect(begun.job).toMatchObject({ attempts: 0, followUps: [{ name: one_.name, state: 'begun' }] });
  expect(code(report(begun, { ...one_, state: 'begun' }))).toBe('PAM_CONFLICT');
  const ended = done(report(begun, { ...one_, state: 'failed' })).rows;
  expect(ended.job.followUps).toEqual([{ name: one_.name, state: 'failed' }]);
  for (const isOnce of [true, false])
    expect(code(report(ended, { ...one_, isOnce, state: 'begun' }))).toBe('PAM_CONFLICT');

  const service = { ...one_, isOnce: false };
  const twice = done(
    report(done(report(tired, { ...service, state: 'begun' })).rows, { ...service, state: 'begun' }),
  ).rows;
  expect(twice.job.followUps).toHaveLength(1);
  const stuck = { ...twice, job: { ...twice.job, attempts: 3 } };
  expect(done(report(stuck, { ...service, state: 'begun' })).rows.job.attempts).toBe(3);
});

test('no more scripts and services are kept than a record, its resource and its configuration can carry', () => {
  const names = Array.from({ length: 97 }, (_, i) => String(i).padStart(43, '0'));
  let rows = promoted;
  for (const name of names.slice(0, 96)) {
    rows = done(report(rows, { kind: 'follow-up', name, isOnce: true, state: 'begun' })).rows;
  }
  expect(code(report(rows, { kind: 'follow-up', name: names[96] ?? '', isOnce: true, state: 'begun' }))).toBe(
    'PAM_CONFLICT',
  );
});
