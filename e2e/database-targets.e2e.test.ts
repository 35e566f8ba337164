import { createCleanup, runChild, startChild, startPostgres, whyNoPostgres } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, withPool } from './harness/installation.ts';
import type { Instance } from './harness/instance.ts';
import type { Tunnel } from './harness/tunnel.ts';

import { longMs, patience, until } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
const missing = await whyNoPostgres();
if (missing !== null) console.info(`skipped: psql and pgbench through a tunnel: ${missing}`);

let installation: Installation;
let config: string;
let instances: Instance[] = [];
let tunnel: Tunnel;

beforeAll(async () => {
  if (missing !== null) return;
  const server = await startPostgres();
  cleanup.later(() => server.stop());
  installation = await newInstallation(cleanup.later);
  config = await withPool(installation);
  await installation.pam([
    ...['record', 'new', 'pamDatabase', '-n', 'orders', '-a', 'prod', '-c', 'dc1-net'],
    ...['--host', '127.0.0.1', '--port', String(server.port), '--field', 'databaseType=postgresql'],
  ]);
  instances = ['one', 'two', 'three'].map((name) => installation.startInstance(name, config));
  await Promise.all(instances.map((instance) => instance.id()));
  tunnel = await installation.openTunnel('orders');
});
afterAll(() => cleanup.run());

const connection = (): Readonly<Record<string, string>> => ({
  PGHOST: tunnel.host,
  PGPORT: String(tunnel.port),
  PGUSER: 'postgres',
  PGPASSWORD: 'test-only',
  PGDATABASE: 'postgres',
  PGCONNECT_TIMEOUT: '20',
});

async function psql(sql: string) {
  return runChild('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', sql], { env: connection() });
}

test.skipIf(missing !== null)('psql works through the pool while its instances are killed and replaced', async () => {
  expect(await psql('create table seen (n int primary key)')).toMatchObject({ code: 0 });
  for (let n = 0; n < 18; n += 1) {
    if (n % 6 === 3) {
      await instances.shift()?.kill();
      instances.push(installation.startInstance(`later-${n}`, config));
    }
    expect(await psql(`insert into seen values (${n})`)).toMatchObject({ code: 0, stderr: '' });
  }
  expect(await psql('select count(*), min(n), max(n) from seen')).toMatchObject({ stdout: '18|0|17\n' });
  await Promise.all(instances.map((instance) => instance.id()));
});

test.skipIf(missing !== null)('a transaction on an instance that dies fails loudly and is not committed', async () => {
  expect(await psql('create table half (n int)')).toMatchObject({ code: 0 });
  const session = startChild(cleanup.later, 'psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1'], { env: connection() });
  const before = instances.map((one) => one.opened().length);
  session.write("begin; insert into half values (1); select 'inside';\n");
  await session.waitForLine(/^inside$/, { withinMs: longMs });
  const at = await until('it is served', () => {
    const found = instances.findIndex((one, index) => one.opened().length > (before[index] ?? 0));
    return found < 0 ? null : { found };
  });
  await instances[at.found]?.kill();
  session.write('commit;\n');
  session.closeStdin();
  expect((await session.exited).code).not.toBe(0);
  expect(session.stderr()).toMatch(/connection/i);
  expect(await psql('select count(*) from half')).toMatchObject({ code: 0, stdout: '0\n' });
  instances = instances.filter((_, index) => index !== at.found);
});

test.skipIf(missing !== null)(
  'pgbench with eight clients runs through the pool without one failed transaction',
  async () => {
    const init = await runChild('pgbench', ['-i', '-s', '1', '-q'], { env: connection() });
    expect(init).toMatchObject({ code: 0 });
    const run = await runChild('pgbench', ['-n', '-c', '8', '-j', '1', '-t', '40'], { env: connection() });
    expect(run).toMatchObject({ code: 0 });
    expect(run.stdout).toMatch(/number of transactions actually processed: 320\/320/);
    expect(await psql('select count(*) from pgbench_history')).toMatchObject({ stdout: '320\n' });
  },
);
