import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createCleanup,
  descendantsOf,
  isRunning,
  programPath,
  sourcePath,
  startChild,
  startHttpTarget,
} from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import { olderNode } from './harness/older-node.ts';
import { longMs, patience, until } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
let installation: Installation;
let config: string;

beforeAll(async () => {
  const target = await startHttpTarget(cleanup.later);
  installation = await newInstallation(cleanup.later);
  config = await withPool(installation);
  await newMachine(installation, 'web1', target);
});
afterAll(() => cleanup.run());

const environmentOf = (pid: number): string => readFileSync(`/proc/${pid}/environ`, 'utf8');

test('GATEWAY_CONFIG reaches no child of an instance, also under a Node that has to start a newer one', async () => {
  const older = olderNode();
  const home = { SALLYPORT_HOME: installation.home, GATEWAY_CONFIG: config };
  for (const [name, node] of Object.entries({ bundled: process.execPath, ...(older === null ? {} : { older }) })) {
    const stateDir = join(installation.folder, `environ-${name}`);
    const args = ['start', '--state-dir', stateDir, '--exit-with-stdin', '--log-format', 'json'];
    const child = startChild(cleanup.later, node, [sourcePath('pam-gateway'), ...args], { env: home });
    await child.waitForLine(/"msg":"ready"/, { withinMs: longMs });
    const family = descendantsOf(child.pid);
    if (node === older) expect(family.length).toBeGreaterThan(0);
    for (const pid of family) {
      expect(environmentOf(pid)).not.toContain('GATEWAY_CONFIG');
      expect(environmentOf(pid)).not.toContain(config.slice(0, 64));
    }
    expect(readFileSync(`/proc/${child.pid}/cmdline`, 'utf8')).not.toContain(config.slice(0, 64));
    child.kill('SIGTERM');
    await child.exited;
    await until('all of it is gone', () => family.every((pid) => !isRunning(pid)));
  }
});

test('whatever starts router, instance and tunnel and is killed leaves none of them behind', async () => {
  const script = `
    import { spawn } from 'node:child_process';
    const start = (...args) => {
      const child = spawn(process.execPath, args, { stdio: ['pipe', 'inherit', 'inherit'] });
      console.log('started ' + child.pid);
    };
    const [router, data, gateway, state, pam] = process.argv.slice(1);
    start(router, 'start', '--data-dir', data, '--listen', '127.0.0.1', '--port', '0', '--exit-with-stdin');
    start(gateway, 'start', '--state-dir', state, '--exit-with-stdin', '--log-format', 'json');
    start(pam, 'tunnel', 'start', 'web1', '--exit-with-stdin');
    setInterval(() => {}, 1000);
  `;
  const parent = startChild(
    cleanup.later,
    process.execPath,
    [
      ...['--input-type=module', '-e', script, '--'],
      ...[programPath('pam-router'), join(installation.folder, 'second-router')],
      ...[programPath('pam-gateway'), join(installation.folder, 'orphan'), programPath('pam')],
    ],
    { env: { SALLYPORT_HOME: installation.home, GATEWAY_CONFIG: config } },
  );
  await parent.waitForLine(/^sallyport router .* ready/, { withinMs: longMs });
  await parent.waitForLine(/"msg":"ready"/, { withinMs: longMs });
  await parent.waitForLine(/^127\.0\.0\.1:\d+ → /, { withinMs: longMs });
  const family = descendantsOf(parent.pid);
  // Router, its relay, instance, tunnel.
  expect(family.length).toBeGreaterThanOrEqual(4);
  parent.kill('SIGKILL');
  await parent.exited;
  await until('all of them are gone', () => family.every((pid) => !isRunning(pid)));
});

test('a tunnel, an instance and a router that are told to stop end with 0, and the slot is free at once', async () => {
  const instance = installation.startInstance('leaving', config);
  await instance.id();
  // The pipe on its standard input is still open: that must not keep it.
  const tunnel = await installation.openTunnel('web1');
  tunnel.child.kill('SIGTERM');
  expect(await tunnel.child.exited).toEqual({ code: 0, signal: null });
  instance.child.kill('SIGTERM');
  expect(await instance.child.exited).toEqual({ code: 0, signal: null });
  const list = await installation.json(['gateway', 'list']);
  expect(JSON.stringify(list)).toContain('"connected_instances":0');
  installation.router.child.kill('SIGTERM');
  expect(await installation.router.child.exited).toEqual({ code: 0, signal: null });
});
