import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runChild, startChild } from '../process/child.ts';
import type { Later } from '../process/cleanup.ts';
import { freePort } from '../process/free-port.ts';
import { tempDir } from '../process/temp-dir.ts';
import { missingTargets } from '../target-list.ts';
import type { TargetPresence } from '../target/require-target.ts';

/** A Linux machine of its own, as far as accounts, homes, sudo and sshd go. Everything else is this machine's. */
export interface LinuxHost {
  readonly host: string;
  readonly port: number;
  /** `sha256:` and base64url of the host key, as a gateway pins it. */
  readonly identity: string;
  /** Runs a program as root there, with `input`; throws with its output when it fails. */
  run(command: string, args: readonly string[], input?: string): Promise<string>;
  /** Path by which this machine sees a file of that one. */
  pathOf(file: string): string;
  /** Makes an account with a password and a home; null: without a password. */
  addAccount(login: string, password: string | null): Promise<void>;
  /** sshd's log, talkative. */
  log(): string;
  stop(): Promise<void>;
}

export interface LinuxHostOptions {
  /** Further lines of sshd_config; of two that say the same, sshd takes the first. */
  readonly config?: readonly string[];
  /** Lines of sudoers. */
  readonly sudoers?: readonly string[];
}

/**
 * Whether such a host can be had: it wants root, the right to make namespaces, sshd, sudo and pam_pwquality.
 *
 * @throws with `CI=true` when a program is missing; never for a missing right.
 */
export async function requireLinuxHost(env: NodeJS.ProcessEnv = process.env): Promise<TargetPresence> {
  const missing = missingTargets().find(({ name }) => ['sshd', 'ssh', 'sudo', 'pwquality'].includes(name));
  if (missing !== undefined) {
    const reason = `${missing.probe} is missing (Debian: ${missing.packages.join(' ')})`;
    if (env['CI'] === 'true') throw new Error(`${reason}; with CI=true every target must be there`);
    return { isMissing: true, reason };
  }
  if (process.getuid?.() !== 0) return { isMissing: true, reason: 'mount namespaces want root' };
  const made = await runChild('unshare', ['--mount', '--uts', '--pid', '--fork', '--mount-proc', 'true']);
  const reason = made.code === 0 ? '' : `no namespaces here: ${made.stderr.trim()}`;
  if (reason !== '') console.info(`tests on a Linux host of their own are skipped: ${reason}`);
  return { isMissing: reason !== '', reason };
}

/**
 * The first process of the host: mounts copies over /etc, /home, /root, /var/lib, /run, then becomes sshd. `$1` is the
 * folder with the copies.
 */
const inside = `set -e
mount --make-rprivate /
for name in etc home root; do mount --bind "$1/$name" "/$name"; done
mount --bind "$1/lib" /var/lib
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/lock
hostname "$2"
exec /usr/sbin/sshd -D -e -f /etc/ssh/lab_config`;

async function copies(folder: string, options: LinuxHostOptions, port: number): Promise<string> {
  const script = `set -e
mkdir -m 755 "$1/etc" "$1/home" "$1/lib"
mkdir -m 700 "$1/root"
cp -a /etc/. "$1/etc/"
# What may stand there of the machine's own must not differ from a fresh host's.
rm -rf "$1"/etc/sudoers.d "$1"/etc/ssh/sshd_config.d
mkdir -m 750 "$1/etc/sudoers.d"
echo "127.0.0.1 localhost $2" > "$1/etc/hosts"
ssh-keygen -q -t ed25519 -N "" -C lab -f "$1/etc/ssh/lab_key"`;
  const name = `lab-${port}`;
  const made = await runChild('sh', ['-c', script, 'copies', folder, name]);
  if (made.code !== 0) throw new Error(`the files of a Linux host: ${made.stderr}`);
  const lines = [
    ...(options.config ?? []),
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    'HostKey /etc/ssh/lab_key',
    'PidFile none',
    'UsePAM yes',
    'UseDNS no',
    // One more and it writes into the sessions as well.
    'LogLevel DEBUG1',
    'PermitRootLogin yes',
    'PasswordAuthentication yes',
    'KbdInteractiveAuthentication no',
    'MaxStartups 100:30:200',
    'PrintMotd no',
  ];
  writeFileSync(join(folder, 'etc/ssh/lab_config'), `${lines.join('\n')}\n`);
  writeFileSync(join(folder, 'etc/sudoers.d/lab'), `${(options.sudoers ?? []).join('\n')}\n`, { mode: 0o440 });
  return name;
}

async function identityOf(folder: string): Promise<string> {
  const [, blob = ''] = readFileSync(join(folder, 'etc/ssh/lab_key.pub'), 'utf8').split(' ');
  const digest = await crypto.subtle.digest('SHA-256', Buffer.from(blob, 'base64'));
  return `sha256:${Buffer.from(digest).toString('base64url')}`;
}

/** Starts one; about half a second. Several may run side by side. */
export async function startLinuxHost(later: Later, options: LinuxHostOptions = {}): Promise<LinuxHost> {
  const folder = tempDir(later, 0o711);
  const port = await freePort();
  const name = await copies(folder, options, port);
  const spaces = ['--mount', '--uts', '--pid', '--fork', '--mount-proc', '--kill-child'];
  // It dies with this process, however that ends.
  const bound = ['--pdeathsig', 'KILL', 'unshare', ...spaces];
  const child = startChild(later, 'setpriv', [...bound, 'sh', '-c', inside, 'host', folder, name]);
  // unshare does not pass SIGTERM on; its death takes the first process of the host and so all others with it.
  const stop = async (): Promise<void> => void (await child.stop(0));
  later(stop);
  await child.waitForLine(/Server listening on/, { from: 'stderr' });
  const first = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();

  const run: LinuxHost['run'] = async (command, args, input) => {
    // With its root, too: where this process lives in a chroot, that of the namespace is the machine around it.
    const enter = ['--target', first, '--mount', '--root', '--uts', '--pid', '--', command, ...args];
    const done = await runChild('nsenter', enter, input === undefined ? {} : { input });
    if (done.code !== 0) throw new Error(`${command}: ${done.stderr}${done.stdout}`);
    return done.stdout;
  };
  return {
    host: '127.0.0.1',
    port,
    identity: await identityOf(folder),
    run,
    pathOf: (file) => `/proc/${first}/root${file}`,
    async addAccount(login, password) {
      await run('useradd', ['--badname', '-m', '-s', '/bin/sh', '--', login]);
      if (password !== null) await run('chpasswd', [], `${login}:${password}\n`);
    },
    log: child.stderr,
    stop,
  };
}
