import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createCleanup } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import { runProgram } from './harness/programs.ts';
import { startRouter } from './harness/router.ts';
import { editRouterDatabase } from './harness/router-database.ts';
import { patience } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
let installation: Installation;
const host = { host: '127.0.0.1', port: 22 };

beforeAll(async () => {
  installation = await newInstallation(cleanup.later);
  await withPool(installation);
  await newMachine(installation, 'web1', host);
});
afterAll(() => cleanup.run());

test('a second router on the same data folder is refused, and so is one on a port that is taken', async () => {
  const start = (dataDir: string, port: number) =>
    runProgram('pam-router', ['start', '--data-dir', dataDir, '--listen', '127.0.0.1', '--port', String(port)], {});
  const second = await start(installation.dataDir, 0);
  expect(second.stderr).toContain('PAM_ROUTER_RUNNING');
  expect(second.code).toBe(4);
  const samePort = await start(join(installation.folder, 'elsewhere'), installation.router.port);
  expect(samePort.stderr).toContain('PAM_PORT_IN_USE');
  expect(samePort.code).toBe(4);
  // The first one noticed nothing.
  expect((await installation.pam(['app', 'list'])).stdout).toContain('prod');
});

test('a backup made while the router runs is sound, and a router restored from it serves everything', async () => {
  const backup = join(installation.folder, 'backup.sqlite');
  const at = ['--data-dir', installation.dataDir];
  expect(await runProgram('pam-router', ['backup', backup, ...at])).toMatchObject({ code: 0 });
  expect((await runProgram('pam-router', ['restore', backup, ...at])).stderr).toContain('PAM_ROUTER_RUNNING');
  await installation.router.kill('SIGTERM');
  expect(await runProgram('pam-router', ['check', ...at])).toMatchObject({ code: 0 });
  rmSync(join(installation.dataDir, 'router.sqlite'));
  expect(await runProgram('pam-router', ['restore', backup, ...at])).toMatchObject({ code: 0 });
  expect(await runProgram('pam-router', ['check', ...at])).toMatchObject({ code: 0 });
  await installation.restartRouter();
  expect((await installation.pam(['record', 'get', 'web1'])).stdout).toContain('127.0.0.1');
  await newMachine(installation, 'after the restore', host);
});

/** Stops the router, lets somebody write into its database, and starts it again. */
async function withLie(lie: (dataDir: string) => void): Promise<void> {
  await installation.router.kill('SIGTERM');
  lie(installation.dataDir);
  await installation.restartRouter();
}

test('audit verify accepts an honest log, over several starts of the router', async () => {
  await withLie(() => {});
  expect((await installation.pam(['audit', 'verify'])).code).toBe(0);
});

test.each([
  {
    lie: 'the last event is deleted, and the end of its chain set back',
    told: (dataDir: string) =>
      editRouterDatabase(dataDir, ({ all, change }) => {
        const [last] = all(
          `select router, start, seq, prev from audit_event where actor_event is not null order by start desc, seq desc limit 1`,
        );
        const [start, seq] = [Number(last?.['start']), Number(last?.['seq'])];
        change('delete from audit_event where start = ? and seq >= ?', start, seq);
        change('update audit_chain set seq = ?, hash = ? where start = ?', seq - 1, String(last?.['prev']), start);
      }),
  },
  {
    lie: 'two events are swapped',
    told: (dataDir: string) =>
      editRouterDatabase(dataDir, ({ all, change }) => {
        const [one, two] = all(
          'select start, seq, kind, body, actor_event from audit_event where actor_event is not null order by start, seq limit 2',
        );
        const put = (at: typeof one, from: typeof one): void =>
          change(
            'update audit_event set kind = ?, body = ?, actor_event = ? where start = ? and seq = ?',
            ...[String(from?.['kind']), String(from?.['body']), String(from?.['actor_event'])],
            ...[Number(at?.['start']), Number(at?.['seq'])],
          );
        put(one, two);
        put(two, one);
      }),
  },
])('audit verify reports that $lie', async ({ told }) => {
  await newMachine(installation, `written before: ${told.length}${Math.random()}`, host);
  expect((await installation.pam(['audit', 'verify'])).code).toBe(0);
  await installation.router.kill('SIGTERM');
  const honest = join(installation.folder, 'honest');
  const memory = join(installation.folder, 'memory');
  cpSync(installation.dataDir, honest, { recursive: true });
  cpSync(installation.home, memory, { recursive: true });
  told(installation.dataDir);
  await installation.restartRouter();
  const verified = await installation.pam(['audit', 'verify'], { code: 1 });
  expect(verified.stderr).toContain('PAM_AUDIT_BROKEN');
  await installation.router.kill('SIGTERM');
  // What the machine saw of the lying start is taken back too: the next lie begins where this one began.
  for (const [kept, place] of [
    [honest, installation.dataDir],
    [memory, installation.home],
  ] as const) {
    rmSync(place, { recursive: true });
    cpSync(kept, place, { recursive: true });
    rmSync(kept, { recursive: true });
  }
  await installation.restartRouter();
});

test('a router set back to the file of yesterday is reported', async () => {
  await installation.router.kill('SIGTERM');
  const yesterday = join(installation.folder, 'yesterday');
  cpSync(installation.dataDir, yesterday, { recursive: true });
  await installation.restartRouter();
  await newMachine(installation, 'written today', host);
  await installation.router.kill('SIGTERM');
  rmSync(installation.dataDir, { recursive: true });
  cpSync(yesterday, installation.dataDir, { recursive: true });
  await startRouter(cleanup.later, { dataDir: installation.dataDir, port: installation.router.port });
  const verified = await installation.pam(['audit', 'verify'], { code: 1 });
  expect(verified.stderr).toContain('PAM_AUDIT_BROKEN');
});
