import { createCleanup, whyNoPostgres } from '@sallyport/testkit';
import { afterAll, expect, test, vi } from 'vitest';
import { startPostgresAccounts } from './accounts/postgres-accounts.ts';
import { shortCases } from './kills/cases.ts';
import { runKills } from './kills/run-kills.ts';

vi.setConfig({ testTimeout: 600_000, hookTimeout: 240_000 });

const cleanup = createCleanup();
const missing = await whyNoPostgres();
if (missing !== null) console.info(`skipped: kills at the steps of a rotation: ${missing}`);
afterAll(() => cleanup.run());

/** The short form of `npm run test:kills`. */
test.skipIf(missing !== null)('who is killed at a step of a rotation loses no password', async () => {
  const lines: string[] = [];
  const lab = await startPostgresAccounts(cleanup.later);
  const report = await runKills(cleanup.later, lab, shortCases, (line) => void lines.push(line));
  if (report.broken.length > 0) console.error(lines.join('\n'));
  console.info(
    `${report.runs} rotations, ${report.hit} hit at their point, ${report.done} done, ${report.attention} need attention`,
  );
  expect(report.broken).toEqual([]);
  expect(report.hit).toBe(shortCases.length);
});
