import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { type Child, descendantsOf, runChild, startChild } from '../process/child.ts';
import type { Later } from '../process/cleanup.ts';
import { freePort } from '../process/free-port.ts';
import { tempDir } from '../process/temp-dir.ts';

/** A real OpenSSH server of this test's own: private port, host key and user key in a temporary folder. */
export interface SshdTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly identityFile: string;
  /** `ssh-ed25519 AAAA…`: what a client sees as the server's identity. */
  readonly hostKey: string;
  /** Options for `ssh` and `scp` that make them use this identity, ask nothing and trust this host key on any port. */
  clientOptions(): readonly string[];
  log(): string;
  stop(): Promise<void>;
}

export interface SshdOptions {
  /** Further lines of sshd_config. */
  readonly config?: readonly string[];
}

async function makeKey(file: string): Promise<void> {
  const made = await runChild('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'sallyport-test', '-f', file]);
  if (made.code !== 0) throw new Error(`ssh-keygen: ${made.stderr}`);
}

async function endWithSessions(child: Child): Promise<void> {
  // Sessions are processes of their own and outlive the listener.
  const sessions = descendantsOf(child.pid);
  await child.stop();
  for (const pid of sessions) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
}

/** Starts sshd in the foreground on 127.0.0.1; log-in is by key, as the user who runs the test. */
export async function startSshd(later: Later, options: SshdOptions = {}): Promise<SshdTarget> {
  const folder = tempDir(later, 0o711);
  const [hostKeyFile, identityFile] = [join(folder, 'host_key'), join(folder, 'id_ed25519')];
  await makeKey(hostKeyFile);
  await makeKey(identityFile);
  const [type = '', key = ''] = readFileSync(`${hostKeyFile}.pub`, 'utf8').split(' ');
  const user = userInfo().username;
  // Without it sshd says "Missing privilege separation directory" and ends.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const port = await freePort();
  const lines = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${hostKeyFile}`,
    `AuthorizedKeysFile ${identityFile}.pub`,
    'PidFile none',
    'StrictModes no',
    'UsePAM no',
    'UseDNS no',
    'PermitRootLogin prohibit-password',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'MaxStartups 100:30:200',
    'PrintMotd no',
    'Subsystem sftp internal-sftp',
    ...(options.config ?? []),
  ];
  const config = join(folder, 'sshd_config');
  const knownHosts = join(folder, 'known_hosts');
  writeFileSync(config, `${lines.join('\n')}\n`);
  writeFileSync(knownHosts, `sallyport-test ${type} ${key}\n`);
  const child = startChild(later, '/usr/sbin/sshd', ['-D', '-e', '-f', config]);
  later(() => endWithSessions(child));
  await child.waitForLine(/Server listening on/, { from: 'stderr' });
  return {
    host: '127.0.0.1',
    port,
    user,
    identityFile,
    hostKey: `${type} ${key}`,
    clientOptions: () =>
      [
        `IdentityFile=${identityFile}`,
        `UserKnownHostsFile=${knownHosts}`,
        'GlobalKnownHostsFile=/dev/null',
        'HostKeyAlias=sallyport-test',
        'IdentitiesOnly=yes',
        'BatchMode=yes',
        'StrictHostKeyChecking=yes',
        'ConnectTimeout=20',
      ].flatMap((option) => ['-o', option]),
    log: child.stderr,
    stop: () => endWithSessions(child),
  };
}
