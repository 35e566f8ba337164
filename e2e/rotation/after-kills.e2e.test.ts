import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JobView } from '@sallyport/protocol';
import { createCleanup, requireLinuxHost } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { User } from '../../packages/cli/src/rotation/rotated-record.ts';
import { member } from '../harness/json.ts';
import { patience, until } from '../harness/until.ts';
import { startLinuxAccounts } from './accounts/linux-accounts.ts';
import { type RotatingPool, startRotatingPool } from './rotating-pool.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
const presence = await requireLinuxHost();
afterAll(() => cleanup.run());

let lab: Awaited<ReturnType<typeof startLinuxAccounts>>;
let pool: RotatingPool;
let users: ReadonlyMap<string, User>;

beforeAll(async () => {
  if (presence.isMissing) return;
  lab = await startLinuxAccounts(cleanup.later);
  pool = await startRotatingPool(cleanup.later, lab, 2, { faults: false });
  users = await pool.newAccounts(['here', 'there', 'file']);
});

const none = { done: 0, failed: 0, unknown: 0, skipped: 0 };
/** Says that it began, and waits for leave to end; never for ever. */
const waiting = (log: string, go: string): string => `#!/bin/sh
echo begun >>${log}
i=0
while [ ! -e ${go} ] && [ $i -lt 3000 ]; do sleep 0.1; i=$((i+1)); done
`;

function file(name: string, text: string): string {
  const path = join(pool.installation.folder, name);
  writeFileSync(path, text, { mode: 0o644 });
  return path;
}

async function passwordOf(title: string): Promise<string> {
  return String(member(await pool.installation.json(['record', 'get', title, '--unmask']), 'secrets', 'password'));
}

/** Orders a rotation and kills the instance that has it, once `isAmid` holds. */
async function killAmid(title: string, isAmid: () => Promise<boolean>): Promise<JobView> {
  const user = users.get(title);
  if (user === undefined) throw new Error(`there is no account ${title}`);
  const { job } = await pool.owner.order(user);
  await until('the middle of what follows', isAmid);
  const running = await pool.owner.job(job);
  expect(running).toMatchObject({ state: 'running', step: 'promoted' });
  for (const instance of pool.instances()) {
    if ((await instance.id()) !== running.instance) continue;
    await instance.kill('SIGKILL');
    await pool.replace(instance);
    return running;
  }
  throw new Error('nobody had the job');
}

test.skipIf(presence.isMissing)(
  'a script on the gateway whose instance is killed is begun once; the rotation stays done, and it is run again by order',
  async () => {
    const { pam, json, folder } = pool.installation;
    const [log, go] = [join(folder, 'here.log'), join(folder, 'here.go')];
    cleanup.later(() => writeFileSync(go, ''));
    const add = ['rotation', 'script-add', '-r', 'here'];
    await pam([...add, '-n', 'waits', '--timeout', '600', '--file', file('waits', waiting(log, go))]);
    const later = join(folder, 'here.later');
    await pam([...add, '-n', 'later', '--file', file('later', `#!/bin/sh\necho run >>${later}\n`)]);

    const killed = await killAmid('here', async () => existsSync(log));
    const ended = await pool.owner.ended(killed.job);
    expect(ended).toMatchObject({ state: 'done', why: 'rotated' });
    expect(ended.after).toEqual({ scripts: { ...none, unknown: 1, skipped: 1 }, services: none });
    expect(ended.instances).toHaveLength(2);
    expect(readFileSync(log, 'utf8')).toBe('begun\n');
    expect(existsSync(later)).toBe(false);
    const password = await passwordOf('here');
    expect(await lab.opens('here', { password })).toBe(true);

    const { stdout } = await pam(['action', 'job-info', killed.job]);
    expect(stdout).toMatch(/^script +waits +gateway +unknown \(begun; its end was not seen\)$/m);
    expect(stdout).toMatch(/^script +later +gateway +skipped$/m);
    expect(stdout).toContain(`pam action after -r ${killed.record}`);
    expect(stdout).not.toContain(password);

    writeFileSync(go, '');
    const again = await json(['action', 'after', '-r', 'here', '--wait']);
    expect(again).toMatchObject({ kind: 'after', state: 'done', why: 'followed' });
    expect(again).toMatchObject({ after: { scripts: { ...none, done: 2 } } });
    expect(readFileSync(log, 'utf8')).toBe('begun\nbegun\n');
    expect(readFileSync(later, 'utf8')).toBe('run\n');
    expect(await passwordOf('here')).toBe(password);

    // What ended well is left alone, unless it is asked for.
    await json(['action', 'after', '-r', 'here', '--wait']);
    expect(readFileSync(later, 'utf8')).toBe('run\n');
    await json(['action', 'after', '-r', 'here', '--all', '--wait']);
    expect(readFileSync(later, 'utf8')).toBe('run\nrun\n');
  },
);

test.skipIf(presence.isMissing)(
  'a script on a machine goes on there when its instance is killed, and no other instance begins it beside it',
  async () => {
    const { pam, json } = pool.installation;
    const { server } = lab;
    const [log, go] = ['/home/admin/log', '/home/admin/go'];
    cleanup.later(() => writeFileSync(server.pathOf(go), ''));
    const script = file('there', waiting(log, go));
    const place = ['--on', 'target', '--timeout', '600'];
    await pam(['rotation', 'script-add', '-r', 'there', '-n', 'waits', ...place, '--file', script]);

    const killed = await killAmid('there', async () => existsSync(server.pathOf(log)));
    const ended = await pool.owner.ended(killed.job);
    expect(ended).toMatchObject({ state: 'done', why: 'rotated', after: { scripts: { ...none, unknown: 1 } } });
    expect(readFileSync(server.pathOf(log), 'utf8')).toBe('begun\n');
    const password = await passwordOf('there');
    expect(await lab.opens('there', { password })).toBe(true);

    writeFileSync(server.pathOf(go), '');
    const again = await json(['action', 'after', '-r', 'there', '--wait']);
    expect(again).toMatchObject({ state: 'done', why: 'followed', after: { scripts: { ...none, done: 1 } } });
    expect(readFileSync(server.pathOf(log), 'utf8')).toBe('begun\nbegun\n');
    expect(await passwordOf('there')).toBe(password);
  },
);

test.skipIf(presence.isMissing)(
  'a file of a service is whole at every moment while the instance that writes it is killed, and another brings it about',
  async () => {
    const { pam } = pool.installation;
    const { server } = lab;
    const [amid, go] = [server.pathOf('/root/amid'), server.pathOf('/root/go')];
    cleanup.later(() => writeFileSync(go, ''));
    await server.run('mount', ['-t', 'tmpfs', 'tmpfs', '/usr/local/sbin']);
    // The new file is written beside the old one and not yet moved into its place: here it stays until it may go on.
    const slow = `#!/bin/sh
case "$*" in *.sallyport-*) : >/root/amid; i=0; while [ ! -e /root/go ] && [ $i -lt 3000 ]; do sleep 0.1; i=$((i+1)); done;; esac
exec /usr/bin/sync "$@"
`;
    await server.run('sh', ['-c', 'umask 022; cat >"$0"; chmod 755 "$0"', '/usr/local/sbin/sync'], slow);
    const restarts = '#!/bin/sh\necho "$*" >>/root/calls\n';
    await server.run('sh', ['-c', 'umask 022; cat >"$0"; chmod 755 "$0"', '/usr/local/sbin/systemctl'], restarts);
    const line = 'x'.repeat(64);
    const text = (password: string): string => `${`${line}\n`.repeat(100)}PASSWORD=${password}\n${line}\n`;
    const old = text('old');
    await server.run('sh', ['-c', 'umask 077; cat >/etc/app.env'], old);
    const template = file('app.env', text('{{password}}'));
    await pam([
      ...['rotation', 'service-add', '-r', 'file', '-n', 'web', '--machine', 'server', '--unit', 'web.service'],
      ...['--file', '/etc/app.env', '--template', template, '--escape', 'raw'],
    ]);

    const seen = new Set<string>();
    const look = (): void => void seen.add(readFileSync(server.pathOf('/etc/app.env'), 'utf8'));
    const killed = await killAmid('file', async () => existsSync(amid));
    look();
    expect([...seen]).toEqual([old]);
    await until('another instance has the job', async () => {
      look();
      const { instance } = await pool.owner.job(killed.job);
      return instance !== null && instance !== killed.instance;
    });
    writeFileSync(go, '');
    await until('the job has ended', async () => {
      look();
      return (await pool.owner.job(killed.job)).state === 'done';
    });
    look();
    const ended = await pool.owner.job(killed.job);
    expect(ended.after).toEqual({ scripts: none, services: { ...none, done: 1 } });
    const password = await passwordOf('file');
    expect(await lab.opens('file', { password })).toBe(true);
    expect(readFileSync(server.pathOf('/etc/app.env'), 'utf8')).toBe(text(password));
    expect([...seen].filter((one) => one !== old && one !== text(password))).toEqual([]);
    expect(await server.run('cat', ['/root/calls'])).toMatch(/^(restart web\.service\n)+$/);
  },
);
