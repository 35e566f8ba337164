import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { Tunnel } from './tunnel.ts';

const sshd = '/usr/sbin/sshd';
const cipher = 'aes128-gcm@openssh.com';

/** One private sshd and the clients that make tunnels through it. */
export interface SshPeer {
  /** `ssh -R` on the gateway's side and `ssh -L` on the client's, through one sshd: the same two hops as ours. */
  twoHops(targetPort: number): Promise<Tunnel>;
  /** `ssh -L`: what one hop costs. */
  oneHop(targetPort: number): Promise<Tunnel>;
  close(): void;
}

/** Starts sshd on a private port in a temporary folder. Ends the bench with the remedy where OpenSSH is missing. */
export async function startSshPeer(): Promise<SshPeer> {
  for (const [path, debian] of [
    ['/usr/bin/ssh', 'openssh-client'],
    [sshd, 'openssh-server'],
  ] as const) {
    if (!existsSync(path)) {
      process.stderr.write(
        `bench: the peer is missing (${path}). Remedy: apt-get install ${debian}, then run it again.\n`,
      );
      process.exit(1);
    }
  }
  if (userInfo().uid === 0) mkdirSync('/run/sshd', { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-ssh-'));
  const port = await freePort();
  for (const key of ['host', 'user']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, key)]);
  }
  const config = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(folder, 'host')}`,
    `PidFile ${join(folder, 'pid')}`,
    `AuthorizedKeysFile ${join(folder, 'user.pub')}`,
    'StrictModes no',
    'UsePAM no',
    'PermitRootLogin yes',
    'AllowTcpForwarding yes',
    'UseDNS no',
    'MaxStartups 100:30:200',
    'MaxSessions 1000',
  ];
  writeFileSync(join(folder, 'config'), `${config.join('\n')}\n`);
  const server = spawn(sshd, ['-D', '-f', join(folder, 'config'), '-E', join(folder, 'log')], { stdio: 'inherit' });
  await reachable(port);
  return {
    async twoHops(targetPort) {
      const [middle, local] = [await freePort(), await freePort()];
      const back = runSsh(folder, port, ['-R', `127.0.0.1:${middle}:127.0.0.1:${targetPort}`]);
      await reachable(middle);
      const front = runSsh(folder, port, ['-L', `127.0.0.1:${local}:127.0.0.1:${middle}`]);
      await reachable(local);
      return tunnel('OpenSSH -R + -L (two hops)', local, [server, back, front], [back, front]);
    },
    async oneHop(targetPort) {
      const local = await freePort();
      const front = runSsh(folder, port, ['-L', `127.0.0.1:${local}:127.0.0.1:${targetPort}`]);
      await reachable(local);
      return tunnel('OpenSSH -L (one hop)', local, [server, front], [front]);
    },
    close() {
      server.kill('SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** What `ssh -V` says, for the report. */
export function sshVersion(): string {
  return execFileSync('sh', ['-c', 'ssh -V 2>&1'], { encoding: 'utf8' }).trim();
}

function runSsh(folder: string, port: number, forward: readonly string[]): ChildProcess {
  const options = [
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'ExitOnForwardFailure=yes',
    `Ciphers=${cipher}`,
  ];
  const args = ['-F', '/dev/null', '-N', '-q', '-p', String(port), '-i', join(folder, 'user'), ...forward];
  return spawn('ssh', [...args, ...options.flatMap((option) => ['-o', option]), `${userInfo().username}@127.0.0.1`], {
    stdio: 'inherit',
  });
}

function tunnel(name: string, port: number, roots: readonly ChildProcess[], own: readonly ChildProcess[]): Tunnel {
  return {
    name,
    port,
    pids: roots.map(({ pid }) => pid ?? 0),
    noDelay: 'no, interactive sessions only',
    async close() {
      for (const child of own) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGTERM');
        await ended;
      }
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Waits until a port accepts, 10 s at most. */
async function reachable(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const works = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (works) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`bench: nothing listens on 127.0.0.1:${port}; is sshd allowed to run here?`);
}
