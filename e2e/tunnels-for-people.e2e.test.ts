import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createConnection } from 'node:net';
import { createCleanup, echo, freePort, requireTarget, runChild, startSshd, startTcpTarget } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, ownersPassword, withPool } from './harness/installation.ts';
import { until, patience } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
const missing = [requireTarget('sshd'), requireTarget('ssh')].find((one) => one.isMissing);
if (missing) console.info(`skipped: tunnels for people: ${missing.reason}`);

let installation: Installation;
let sshd: Awaited<ReturnType<typeof startSshd>>;
let planted: string;

beforeAll(async () => {
  if (missing) return;
  sshd = await startSshd(cleanup.later);
  installation = await newInstallation(cleanup.later);
  planted = join(installation.folder, 'planted');
  const config = await withPool(installation);
  await newMachine(installation, 'shell', sshd);
  await newMachine(installation, `x\nProxyCommand touch ${planted}\nHost *`, sshd);
  const instances = ['one', 'two'].map((name) => installation.startInstance(name, config));
  await Promise.all(instances.map((instance) => instance.id()));
});
afterAll(() => cleanup.run());

/** What a user has in ssh_config beside our file: keys, and a known_hosts of the test's own. */
function userOptions(knownHosts: string): readonly string[] {
  const own = sshd.clientOptions().filter((one) => one.startsWith('IdentityFile='));
  const options = [
    ...own,
    ...['IdentitiesOnly=yes', 'BatchMode=yes', 'StrictHostKeyChecking=accept-new', 'ConnectTimeout=90'],
    ...[`UserKnownHostsFile=${knownHosts}`, 'GlobalKnownHostsFile=/dev/null'],
  ];
  return options.flatMap((option) => ['-o', option]);
}

test.skipIf(missing !== undefined)(
  'ssh goes through the pool with the file of pam ssh-config, hostile titles or not',
  async () => {
    const [file, knownHosts] = [join(installation.folder, 'ssh.conf'), join(installation.folder, 'known')];
    const written = (await installation.json(['ssh-config', '--write', file])) as {
      hosts: { record_uid: string; aliases: string[] }[];
    };
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const shell = written.hosts.find((host) => host.aliases.includes('shell.pam'));
    const hostile = written.hosts.find((host) => host !== shell);
    expect(hostile?.aliases).toEqual([`${hostile?.record_uid}.pam`]);
    for (const name of ['shell.pam', hostile?.aliases[0] ?? '']) {
      const args = ['-F', file, ...userOptions(knownHosts), `${sshd.user}@${name}`, 'echo through the pool; exit 7'];
      expect(await runChild('ssh', args)).toMatchObject({ code: 7, stdout: 'through the pool\n' });
    }
    expect(existsSync(planted)).toBe(false);
    const known = readFileSync(knownHosts, 'utf8');
    // ssh writes names of hosts in small letters.
    for (const host of written.hosts) expect(known).toContain(host.record_uid.toLowerCase());
    await installation.pam(['ssh-config', 'shell', '--write', file]);
    writeFileSync(file, 'Host mine\n');
    expect((await installation.pam(['ssh-config', '--write', file], { code: 4 })).stderr).toContain('PAM_CONFLICT');
  },
);

test.skipIf(missing !== undefined)(
  'diagnose reaches the target by way of every instance and leaves no stream behind',
  async () => {
    // On a busy machine a member may be suspect for a moment, which is a finding.
    const report = await until('a diagnosis without a finding', async () => {
      const found = (await installation.json(['tunnel', 'diagnose', 'shell'], { code: null })) as {
        healthy: boolean;
        checks: { id: string; status: string; text: string }[];
      };
      return found.healthy ? found : undefined;
    });
    const instances = report.checks.filter((check) => check.id.startsWith('instance '));
    expect(instances.map((check) => check.status)).toEqual(['ok', 'ok']);
    expect(new Set(instances.map((check) => check.id)).size).toBe(2);
    await until('nothing runs any more', async () => {
      const { sessions } = (await installation.json(['session', 'list'])) as { sessions: unknown[] };
      return sessions.length === 0 ? true : undefined;
    });
  },
);

test.skipIf(missing !== undefined)('diagnose tells the target’s own word for each instance', async () => {
  await newMachine(installation, 'closed', { host: '127.0.0.1', port: await freePort() });
  const run = await until('both instances were tried', async () => {
    const found = await installation.pam(['tunnel', 'diagnose', 'closed'], { code: 1 });
    const words = found.stdout.match(/^failed +instance .*target: .*refused the connection/gm);
    return words?.length === 2 ? found : undefined;
  });
  expect(run.stdout).toContain('(PAM_TARGET_REFUSED)');
});

test.skipIf(missing !== undefined)(
  'a tunnel listens on the port that tunnel edit chose, and says who holds it when it is taken',
  async () => {
    const port = await freePort();
    await installation.pam(['tunnel', 'edit', 'shell', '--local-port', String(port)]);
    const tunnel = await installation.openTunnel('shell');
    expect(tunnel.port).toBe(port);
    const second = await installation.pam(['tunnel', 'start', 'shell'], { code: 4 });
    expect(second.stderr).toMatch(new RegExp(`port ${port} .* is taken by tunnel .*shell`));
  },
);

/** What one connection through a tunnel comes to. */
async function talk(port: number): Promise<'answered' | 'broken'> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port }, () => socket.write('hello'));
    socket.once('data', () => {
      socket.destroy();
      resolve('answered');
    });
    socket.once('error', () => resolve('broken'));
    socket.once('end', () => resolve('broken'));
  });
}

test.skipIf(missing !== undefined)(
  'a background tunnel outlives its sign-in, refuses meanwhile, and goes on after the next login',
  async () => {
    const target = await startTcpTarget(cleanup.later, echo);
    await newMachine(installation, 'echo', target);
    const started = (await installation.json(['tunnel', 'start', 'echo', '--background'])) as {
      port: number;
      log: string;
    };
    cleanup.later(async () => void (await installation.pam(['tunnel', 'stop', '--all'], { code: null })));
    const state = async () => {
      const { tunnels } = (await installation.json(['tunnel', 'list'])) as {
        tunnels: { port: number; state: string }[];
      };
      return tunnels.find((one) => one.port === started.port)?.state;
    };
    expect(await talk(started.port)).toBe('answered');
    await installation.pam(['logout']);
    expect(await talk(started.port)).toBe('broken');
    await until('the tunnel is called signed out', async () => (await state()) === 'signed-out');
    for (let n = 0; n < 20; n++) expect(await talk(started.port)).toBe('broken');
    await installation.pam(['login', '--kit', installation.kitFile, '--password-stdin'], {
      input: `${ownersPassword}\n`,
    });
    await until('the tunnel goes on', async () => (await talk(started.port)) === 'answered');
    await until('the tunnel is called ready', async () => (await state()) === 'ready');
    const log = readFileSync(started.log, 'utf8');
    expect(log.match(/signed out: the sign-in of this tunnel is over/g)).toHaveLength(1);
    expect(log.match(/signed in again: the tunnel goes on/g)).toHaveLength(1);
    // Twenty connections and more were refused; each cause is said once.
    expect(log.match(/PAM_NOT_SIGNED_IN/g)?.length).toBeLessThanOrEqual(3);
  },
);
