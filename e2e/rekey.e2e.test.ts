import { createConnection, type Socket } from 'node:net';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCleanup, echo, startTcpTarget } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import { patience, until } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
let installation: Installation;
let stolen: string;

beforeAll(async () => {
  installation = await newInstallation(cleanup.later);
  stolen = await withPool(installation);
  await newMachine(installation, 'echo', await startTcpTarget(cleanup.later, echo));
});
afterAll(() => cleanup.run());

/** One connection through the tunnel that was answered, or null. */
async function connected(port: number): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port }, () => socket.write('hello'));
    socket.once('data', () => resolve(socket));
    socket.once('error', () => resolve(null));
    socket.once('close', () => resolve(null));
  });
}

test('after a rekey the stolen configuration serves and starts nothing, and a running tunnel goes on with the new one', async () => {
  const old = installation.startInstance('old', stolen);
  await old.id();
  const tunnel = await installation.openTunnel('echo');
  const running = await connected(tunnel.port);
  const ended = new Promise<string>((resolve) => {
    running?.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    running?.once('end', () => resolve('a clean end'));
  });
  const file = join(installation.folder, 'new.conf');
  const rekeyed = await installation.pam(['gateway', 'rekey', '-g', 'dc1', '--yes', '-o', file]);
  expect(rekeyed.stderr).toContain('1 instances were cut off');
  expect(await ended).toBe('ECONNRESET');
  expect(await old.child.exited).toMatchObject({ code: 4 });
  expect(old.child.stderr()).toContain('PAM_GATEWAY_REMOVED');

  const thief = installation.startInstance('thief', stolen);
  expect((await thief.child.exited).code).not.toBe(0);
  expect(await connected(tunnel.port)).toBeNull();

  // As an operator does it: the same host, the same state folder, the new value.
  await installation.startInstance('old', readFileSync(file, 'utf8').trim()).id();
  const again = await until('the tunnel goes on', () => connected(tunnel.port));
  again.destroy();
});
