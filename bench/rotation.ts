/**
 * `npm run bench:rotation -- [--roles N] [--pools 1,2,4] [--rounds N] [--write-docs]`: rotations a minute by pools of several
 * sizes, against a straight-line script in the same run. Figures, never assertions.
 */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { parseArgs } from 'node:util';
import { createCleanup } from '@sallyport/testkit';
import { startPostgresAccounts } from '../e2e/rotation/accounts/postgres-accounts.ts';
import { listeningProcess } from '../e2e/rotation/listening-process.ts';
import { startRotatingPool } from '../e2e/rotation/rotating-pool.ts';
import providePrograms from '../scripts/provide-programs.ts';
import { median } from './measure/numbers.ts';
import { rotateAll, type RotationRow } from './rotation/rotate-all.ts';
import { type RotationReport, rotationPage, rotationTables } from './rotation/page.ts';
import { straightScript } from './rotation/straight-script.ts';

const { values } = parseArgs({
  options: {
    roles: { type: 'string', default: '1000' },
    pools: { type: 'string', default: '1,2,4' },
    rounds: { type: 'string', default: '3' },
    'write-docs': { type: 'boolean', default: false },
  },
});
const overallMs = 25 * 60_000;
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const cleanup = createCleanup();

async function measure(): Promise<RotationReport> {
  await providePrograms();
  const before = loadavg();
  const count = Number(values.roles);
  const lab = await startPostgresAccounts(cleanup.later);
  const logins = Array.from({ length: count }, (_, index) => `role${index + 1}`);
  const admin = { port: lab.port, user: 'rotator', password: lab.admin.secrets.password ?? '' };
  const sizes = values.pools.split(',').map(Number);
  const pool = await startRotatingPool(cleanup.later, lab, sizes[0] ?? 1, {
    ...{ routerArgs: [], faults: false, maxInstances: Math.max(...sizes) },
  });
  say(`making ${count} roles and their records`);
  const users = [...(await pool.newAccounts(logins)).values()];
  const server = listeningProcess(cleanup.later, lab);
  const pools: RotationReport['pools'][number][] = [];
  for (const size of sizes) {
    while (pool.instances().length < size) await pool.add();
    say(`${size} instances`);
    const rows: RotationRow[] = [];
    for (let round = 0; round < Number(values.rounds); round += 1) {
      const row = await rotateAll(pool, users, server.pids);
      say(`${size} instances: ${Math.round(row.perMinute)} a minute`);
      rows.push(row);
    }
    const middle = rows.toSorted((a, b) => a.seconds - b.seconds)[Math.floor((rows.length - 1) / 2)];
    if (middle !== undefined) pools.push({ ...middle, rounds: rows.map(({ seconds }) => seconds) });
  }
  const script: RotationReport['script'][number][] = [];
  // Last, because it tells the vault nothing of the passwords it sets.
  for (const atOnce of [1, 8]) {
    const seconds: number[] = [];
    for (let round = 0; round < Number(values.rounds); round += 1) {
      seconds.push(await straightScript(admin, logins, atOnce));
    }
    say(`the script, ${atOnce} at once: ${seconds.map((each) => each.toFixed(1)).join(', ')} s`);
    script.push({ atOnce, seconds, median: median(seconds) });
  }
  return {
    at: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model ?? '', cores: cpus().length, kernel: release(), node: process.versions.node },
    postgres: (await lab.server.psql('postgres', 'SHOW server_version')).trim(),
    roles: count,
    loadAverage: { before, after: loadavg() },
    ...{ script, pools },
  };
}

const stopped = new Promise<never>((_, reject) => {
  const timer = setTimeout(() => reject(new Error(`not done after ${overallMs / 60_000} minutes`)), overallMs);
  timer.unref();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => reject(new Error(signal)));
});
try {
  const report = await Promise.race([measure(), stopped]);
  process.stdout.write(`\n${rotationTables(report).join('\n')}\n`);
  if (values['write-docs'])
    writeFileSync(new URL('../docs/benchmarks-rotation.md', import.meta.url), rotationPage(report));
} catch (error) {
  say(`bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exitCode = 1;
} finally {
  await cleanup.run();
}
process.exit();
