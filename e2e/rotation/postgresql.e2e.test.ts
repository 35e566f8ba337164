import { join } from 'node:path';
import { createCleanup, isRunning, whyNoPostgres } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { member, members } from '../harness/json.ts';
import { runProgram } from '../harness/programs.ts';
import { patience, until } from '../harness/until.ts';
import { startPostgresAccounts } from './accounts/postgres-accounts.ts';
import type { AccountLab } from './accounts/account-lab.ts';
import { type RotatingPool, startRotatingPool } from './rotating-pool.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
const missing = await whyNoPostgres();
if (missing !== null) console.info(`skipped: rotation of PostgreSQL roles through a pool: ${missing}`);

let lab: AccountLab;
let pool: RotatingPool;

beforeAll(async () => {
  if (missing !== null) return;
  lab = await startPostgresAccounts(cleanup.later);
  pool = await startRotatingPool(cleanup.later, lab, 3, { faults: false });
});
afterAll(() => cleanup.run());

test.skipIf(missing !== null)('pam action rotate changes the password at the server and in the vault', async () => {
  const { installation } = pool;
  await pool.newAccounts(['reports']);
  const before = member(await installation.json(['record', 'get', 'reports', '--unmask']), 'secrets', 'password');
  expect(await lab.opens('reports', { password: String(before) })).toBe(true);

  const job = await installation.json(['action', 'rotate', '-r', 'reports', '--wait']);
  expect(job).toMatchObject({ state: 'done', why: 'rotated', step: 'done', sends: 1 });

  const after = member(await installation.json(['record', 'get', 'reports', '--unmask']), 'secrets', 'password');
  expect(after).not.toBe(before);
  expect(await lab.opens('reports', { password: String(after) })).toBe(true);
  expect(await lab.opens('reports', { password: String(before) })).toBe(false);

  const history = members(await installation.json(['record', 'history', 'reports']), 'versions');
  expect(history.filter((one) => member(one, 'part') === 'secrets')).toMatchObject([
    { revision: 2, changed: ['password'] },
    { revision: 1 },
  ]);
  const first = await installation.json(['record', 'get', 'reports', '--unmask', '--version', '1']);
  expect(member(first, 'secrets', 'password')).toBe(before);
});

test.skipIf(missing !== null)(
  'a router restored from before a rotation gets the passwords back, and says so',
  async () => {
    const { installation } = pool;
    const { pam, json, folder, dataDir } = installation;
    const passwordOf = async (title: string): Promise<string> =>
      String(member(await json(['record', 'get', title, '--unmask']), 'secrets', 'password'));
    await pool.newAccounts(['ledger', 'till']);
    await json(['action', 'rotate', '-r', 'ledger', '--wait']);
    const backup = join(folder, 'backup.sqlite');
    await runProgram('pam-router', ['backup', backup, '--data-dir', dataDir]);

    // One account was known before; the other was never rotated then, so the backup does not know of it.
    await pam(['action', 'rotate', '-f', '^(ledger|till)$', '--wait']);
    const lost = { ledger: await passwordOf('ledger'), till: await passwordOf('till') };
    await installation.router.kill('SIGTERM');
    expect(await runProgram('pam-router', ['restore', backup, '--data-dir', dataDir])).toMatchObject({ code: 0 });
    await installation.restartRouter();
    // This device saw the secrets that are lost, and says for each account that it goes on without them.
    for (const title of ['ledger', 'till']) {
      const accepted = await pam(['record', 'accept-older', title, '-y']);
      expect(accepted.stderr).toContain('secrets: the router has revision');
    }

    const cameBack = (title: 'ledger' | 'till') =>
      until(`the password of ${title} comes back`, async () => {
        const known = await json(['rotation', 'resolve', '-r', title, '--unmask']);
        const version = members(known, 'versions').find((one) => member(one, 'secrets', 'password') === lost[title]);
        return version === undefined ? null : { attention: member(known, 'attention'), version };
      });
    const back = { attention: 'restored', version: { state: 'recovered', source: expect.any(String), error: null } };
    expect(await cameBack('ledger')).toMatchObject(back);
    const till = await cameBack('till');
    expect(till).toMatchObject(back);
    const refused = await pam(['action', 'rotate', '-r', 'till'], { code: null });
    expect(refused.stderr).toContain('PAM_ROTATION_ATTENTION');
    await pam(['rotation', 'resolve', '-r', 'till', '--version', String(member(till.version, 'n'))]);
    expect(await passwordOf('till')).toBe(lost.till);
    expect(await json(['action', 'rotate', '-r', 'till', '--wait'])).toMatchObject({ state: 'done', why: 'rotated' });
    expect(await lab.opens('till', { password: lost.till })).toBe(false);
    // Whoever told the router something that it lost is not heard any more: its jobs go to others, and it takes another name.
    await pam(['action', 'check', '-f', '^(ledger|till|reports)$', '--wait'], { code: null });
    expect(await json(['action', 'check', '-r', 'till', '--wait'])).toMatchObject({ state: 'done', why: 'opens' });
    const renamed = 'the router lost what this instance told it: going on as a new instance';
    await until('one takes another name', () =>
      pool.instances().some((one) => one.log().some(({ msg }) => msg === renamed)),
    );
    expect(pool.instances().map(({ child }) => isRunning(child.pid))).toEqual([true, true, true]);
  },
);
