import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createCleanup } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { member, members } from '../harness/json.ts';
import { patience, until } from '../harness/until.ts';
import { startRedisAccounts } from './accounts/redis-accounts.ts';
import { type RotatingPool, startRotatingPool } from './rotating-pool.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
let lab: Awaited<ReturnType<typeof startRedisAccounts>>;
let pool: RotatingPool;

beforeAll(async () => {
  lab = await startRedisAccounts(cleanup.later);
  // It may set passwords, and may not remove the users that mark them.
  await lab.ruleAdmin('-acl|deluser');
  pool = await startRotatingPool(cleanup.later, lab, 1, { faults: false });
});
afterAll(() => cleanup.run());

const passwordOf = async (title: string): Promise<string> =>
  String(member(await pool.installation.json(['record', 'get', title, '--unmask']), 'secrets', 'password'));

/** Rotates `title`, whose older password cannot be removed; answers the two. */
async function leaveOver(title: string): Promise<{ readonly old: string; readonly now: string }> {
  const { json } = pool.installation;
  await pool.newAccounts([title]);
  const old = await passwordOf(title);
  const job = await json(['action', 'rotate', '-r', title, '--wait']);
  expect(job).toMatchObject({ state: 'done', why: 'not-retired', sends: 1 });
  const now = await passwordOf(title);
  expect([await lab.opens(title, { password: old }), await lab.opens(title, { password: now })]).toEqual([true, true]);
  return { old, now };
}

test('an older password that cannot be removed is told of outside the notes, and removed by hand when it can be', async () => {
  const { json, pam } = pool.installation;
  const { old, now } = await leaveOver('reports');
  const info = await json(['rotation', 'info', '-r', 'reports']);
  expect(info).toMatchObject({ attention: null, account: { leftover: { tries: 0, next_try_on: expect.any(String) } } });
  expect((await pam(['rotation', 'info', '-r', 'reports'])).stderr).toContain('an older credential still opens');
  expect((await pam(['rotation', 'list'])).stdout).toContain('an older credential still opens');

  // Not yet: it is a failure of the job, and counted.
  const denied = await pam(['action', 'retire', '-r', 'reports', '--wait'], { code: 1 });
  expect(denied.stdout).toContain('the target refuses the change');
  expect(member(await json(['rotation', 'info', '-r', 'reports']), 'account', 'leftover')).toMatchObject({ tries: 1 });
  expect(await lab.opens('reports', { password: now })).toBe(true);

  await lab.ruleAdmin('+acl|deluser');
  const done = await json(['action', 'retire', '-r', 'reports', '--wait']);
  expect(done).toMatchObject({ kind: 'retire', state: 'done', why: 'retired', sends: 0 });
  expect([await lab.opens('reports', { password: old }), await lab.opens('reports', { password: now })]).toEqual([
    false,
    true,
  ]);
  expect(await json(['rotation', 'info', '-r', 'reports'])).toMatchObject({ account: { leftover: null } });
  expect(await passwordOf('reports')).toBe(now);
});

test('what is left over is removed by itself later, on the order that the rotation was made with', async () => {
  const { installation } = pool;
  await lab.ruleAdmin('-acl|deluser');
  const { old, now } = await leaveOver('ledger');
  await lab.ruleAdmin('+acl|deluser');
  // Minutes pass.
  await installation.router.kill('SIGTERM');
  const store = new DatabaseSync(join(installation.dataDir, 'router.sqlite'));
  expect(store.prepare("UPDATE recheck SET due_ms = 1 WHERE kind = 'retire'").run().changes).toBe(1);
  store.close();
  await installation.restartRouter();

  const jobs = await until('it is removed', async () => {
    const listed = members(await installation.json(['action', 'job-list', '-r', 'ledger']), 'jobs');
    return listed.some((job) => member(job, 'kind') === 'retire' && member(job, 'state') === 'done') ? listed : null;
  });
  expect(jobs[0]).toMatchObject({ kind: 'retire', why: 'retired', person_uid: null });
  expect([await lab.opens('ledger', { password: old }), await lab.opens('ledger', { password: now })]).toEqual([
    false,
    true,
  ]);
  expect(await installation.json(['rotation', 'info', '-r', 'ledger'])).toMatchObject({ account: { leftover: null } });
});
