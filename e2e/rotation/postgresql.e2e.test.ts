import { createCleanup, whyNoPostgres } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { member, members } from '../harness/json.ts';
import { patience } from '../harness/until.ts';
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
