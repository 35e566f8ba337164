import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createCleanup, echo, startTcpTarget } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, ownersPassword, withPool } from './harness/installation.ts';
import type { Instance } from './harness/instance.ts';
import { member, members } from './harness/json.ts';
import { runProgram } from './harness/programs.ts';
import { patience, until } from './harness/until.ts';

vi.setConfig(patience);

/** A router that is restored from a backup, with everybody there who saw more (docs/adr/0018-restore.md). */
const cleanup = createCleanup();
let installation: Installation;
let instance: Instance;
let config = '';
let backup = '';
let target = { host: '127.0.0.1', port: 0 };
const homes = { desk: '', phone: '', tablet: '' };
const at = () => ['--data-dir', installation.dataDir];
const as = (name: keyof typeof homes) => ({ env: { SALLYPORT_HOME: homes[name] } });

async function enrol(name: keyof typeof homes): Promise<void> {
  homes[name] = join(installation.folder, name);
  mkdirSync(homes[name], { recursive: true, mode: 0o700 });
  const input = `${ownersPassword}\n`;
  const args = ['login', '--kit', installation.kitFile, '--password-stdin', '--device-label', name];
  await installation.pam(args, { input, ...as(name) });
}

/** What a connection answers to `ping`; null when it was reset. */
const ping = (host: string, port: number): Promise<string | null> =>
  new Promise((resolve) => {
    const socket = connect(port, host, () => socket.write('ping'));
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString());
    });
    socket.once('close', () => resolve(null));
    socket.once('error', () => resolve(null));
  });

/**
 * One connection through a tunnel of its own: an audited call and a stream. While the only instance changes its identity, because
 * the router lost its events, there is nobody to take it. Answers what was said on standard error.
 */
async function useTunnel(options: Parameters<Installation['openTunnel']>[1] = {}): Promise<string> {
  const tunnel = await installation.openTunnel('web1', options);
  await until('the target answers', async () => (await ping(tunnel.host, tunnel.port)) === 'ping');
  tunnel.child.kill('SIGTERM');
  await tunnel.child.exited;
  return tunnel.messages();
}

const ownEvents = /had lost \d+ signed events of this device/;
const headOf = async (): Promise<number> => Number(member(await installation.json(['trust', 'head']), 'n'));
const entriesOf = (folder: string): number => {
  const name = readdirSync(folder).find((file) => file.startsWith('trust-')) ?? '';
  return readFileSync(join(folder, name), 'utf8').split('\n').length - 1;
};

/** As after a disk was lost: nothing is left of the store but the backup. */
async function restore(): Promise<void> {
  await installation.router.kill('SIGKILL');
  for (const name of readdirSync(installation.dataDir)) {
    if (name.startsWith('router.sqlite')) rmSync(join(installation.dataDir, name));
  }
  expect(await runProgram('pam-router', ['restore', backup, ...at()])).toMatchObject({ code: 0 });
  await installation.restartRouter();
}

beforeAll(async () => {
  installation = await newInstallation(cleanup.later);
  config = await withPool(installation);
  target = await startTcpTarget(cleanup.later, echo);
  await newMachine(installation, 'web1', target);
  await newMachine(installation, 'web2', target);
  instance = installation.startInstance('one', config);
  await instance.id();
  await enrol('desk');
  await useTunnel();
  backup = join(installation.folder, 'backup.sqlite');
  expect(await runProgram('pam-router', ['backup', backup, ...at()])).toMatchObject({ code: 0 });

  // What the backup does not know: a device, a gateway, an edited record, sessions of two devices.
  await enrol('phone');
  await installation.newGateway('dc2', 'prod', 1);
  await installation.pam(['record', 'edit', 'web1', '--notes', 'edited']);
  await useTunnel();
  await useTunnel(as('desk'));
  await installation.pam(['record', 'get', 'web1'], as('desk'));
});
afterAll(() => cleanup.run());

test('an instance gives the trust log back by itself, and nobody can fork it meanwhile', async () => {
  const head = await headOf();
  await until('the instance knows all entries', () => entriesOf(instance.stateDir) === head + 1);
  await restore();
  await instance.said('the router lost entries of the trust log; this instance gave them back');
  await until('the instance is back', () => instance.log().filter(({ msg }) => msg === 'ready').length === 2);

  const refused = await installation.pam(['gateway', 'new', '-n', 'dc3', '-a', 'prod', '-m', '1'], { code: 4 });
  expect(refused.stderr).toContain('PAM_TRUST_RESTORED');
  expect(refused.stderr).toContain('pam trust reopen');
  expect(await headOf()).toBe(head);
});

test('devices give back their own events and go on with their own profiles', async () => {
  const stale = await installation.pam(['record', 'get', 'web1'], { code: 5, ...as('desk') });
  expect(stale.stderr).toContain('pam record accept-older');
  const accepted = await installation.pam(['record', 'accept-older', 'web1', '-y']);
  expect(accepted.stderr).toMatch(ownEvents);
  expect(accepted.stderr).toContain('facts: the router has revision 1; this device saw revision 2');
  expect((await installation.pam(['record', 'accept-older', 'web1', '-y'])).stderr).toContain('nothing to accept');
  // Revision 3 is above what anybody saw: neither the other device nor the instance has anything to give up.
  expect(await installation.json(['record', 'get', 'web1'], as('desk'))).toMatchObject({ revision: 3 });
  expect(await useTunnel(as('desk'))).toMatch(ownEvents);
  expect(await useTunnel()).not.toMatch(ownEvents);
  // Its sign-in was made after the backup and is lost; its key is in the log again.
  const input = `${ownersPassword}\n`;
  await installation.pam(['login', '--password-stdin'], { input, ...as('phone') });
  expect((await installation.pam(['record', 'get', 'web2'], as('phone'))).stdout).toContain('127.0.0.1');
});

test('after the reopening new entries are taken, and the audit log verifies with what was lost named', async () => {
  const cut = await installation.pam(['audit', 'verify'], { code: 1 });
  expect(cut.stderr).toContain('PAM_AUDIT_BROKEN');
  const shown = await installation.pam(['trust', 'reopen'], { code: 2 });
  expect(shown.stderr).toMatch(/came back/i);
  const reopened = await installation.json(['trust', 'reopen', '--yes']);
  expect(reopened).toMatchObject({ reopened: true, not_back: [], lost_audit_events: [expect.anything()] });
  expect(members(reopened, 'came_back').map((one) => member(one, 'kind'))).toEqual(['device', 'gateway']);
  expect(members(reopened, 'without_settings')).toHaveLength(1);
  const [lost] = members(reopened, 'without_settings');
  await installation.pam(['gateway', 'remove', '-g', String(lost), '--yes']);
  await installation.newGateway('dc3', 'prod', 1);
  for (const options of [{}, as('desk')]) {
    expect(await installation.json(['audit', 'verify'], options)).toMatchObject({
      verified: true,
      given_back: expect.any(Number),
      lost_in_restores: [expect.objectContaining({ left: expect.any(Number) })],
    });
  }
});

test('without an instance the first device gives the trust log back, by any command', async () => {
  const head = await headOf();
  await instance.kill('SIGTERM');
  await restore();
  const listed = await installation.pam(['record', 'get', 'web2'], as('desk'));
  expect(listed.stderr).toMatch(/had lost entries \d+ to \d+ of the trust log/);
  expect((await installation.pam(['record', 'get', 'web2'])).stderr).toBe('');
  expect(await headOf()).toBe(head);
  await installation.pam(['trust', 'reopen', '--yes'], as('desk'));
  await enrol('tablet');
  expect(await headOf()).toBe(head + 1);
  expect(await installation.json(['audit', 'verify'])).toMatchObject({ verified: true });
});
