import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { UserSecrets } from '@sallyport/protocol';
import { type Later, type LinuxHost, runChild, startLinuxHost, tempDir } from '@sallyport/testkit';
import type { AccountLab } from './account-lab.ts';

const adminPassword = 'admin-of-the-Lab-1';

/** Accounts of a Linux host, by password. */
export async function startLinuxAccounts(later: Later): Promise<AccountLab & { readonly server: LinuxHost }> {
  const { host, opens, lab } = await startHost(later);
  return {
    ...lab,
    server: host,
    kind: 'linux-password',
    makeAccount: async (login) => {
      const password = `First-of-${login}-1`;
      await host.addAccount(login, password);
      return { fields: { login }, secrets: { password } };
    },
    opens,
  };
}

/** Accounts of a Linux host, by the keys in their homes. */
export async function startKeyAccounts(later: Later): Promise<AccountLab> {
  const { host, opens, lab } = await startHost(later);
  const folder = tempDir(later);
  const keysOf = (login: string): string => host.pathOf(`/home/${login}/.ssh/authorized_keys`);
  return {
    ...lab,
    kind: 'ssh-key',
    makeAccount: async (login) => {
      await host.addAccount(login, null);
      const file = join(folder, login);
      await runChild('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', login, '-f', file]);
      const sshPublicKey = readFileSync(`${file}.pub`, 'utf8').trim();
      const script = 'set -e; cd "/home/$1"; mkdir -m 700 .ssh; cat > .ssh/authorized_keys; chown -R "$1:" .ssh';
      await host.run('sh', ['-c', script, 'keys', login], `${sshPublicKey}\n`);
      const secrets = { privatePemKey: readFileSync(file, 'utf8'), custom: { sshPublicKey } };
      return { fields: { login }, secrets };
    },
    opens,
    rotation: ['--changes', 'ssh-key'],
    beside: {
      at: (login) => Promise.resolve(readFileSync(keysOf(login), 'utf8').split('\n').filter(Boolean).map(keyOf)),
      formOf: ({ custom }) => keyOf(custom?.['sshPublicKey'] ?? ''),
    },
  };
}

/** Type and key, without a comment. */
const keyOf = (line: string): string => line.trim().split(/\s+/).slice(0, 2).join(' ');

async function startHost(later: Later) {
  const host = await startLinuxHost(later, { sudoers: ['admin ALL=(root) NOPASSWD: ALL', 'Defaults lecture=never'] });
  // A wrong password is otherwise answered after some 2 s, and the message of the day runs programs at each login.
  await host.run('sed', ['-i', 's/pam_unix.so nullok/& nodelay/', '/etc/pam.d/common-auth']);
  await host.run('sed', ['-i', '/pam_motd/d', '/etc/pam.d/sshd']);
  await host.addAccount('admin', adminPassword);
  const lab = {
    ...{ host: host.host, port: host.port, restarts: false },
    resource: { type: 'pamMachine', host: host.host, port: host.port },
    admin: { fields: { login: 'admin' }, secrets: { password: adminPassword } },
  };
  return { host, lab, opens: sshLogins(later, host) };
}

/** @throws when the server says anything but yes or wrong. */
function sshLogins(later: Later, { host, port }: LinuxHost): AccountLab['opens'] {
  const folder = tempDir(later);
  const [ask, key] = [join(folder, 'ask'), join(folder, 'key')];
  writeFileSync(ask, '#!/bin/sh\nprintf "%s\\n" "$SALLYPORT_LAB_PASSWORD"\n');
  chmodSync(ask, 0o700);
  return async (login, { password, privatePemKey }: Partial<UserSecrets>) => {
    if (privatePemKey !== undefined) writeFileSync(key, privatePemKey, { mode: 0o600 });
    const methods = privatePemKey === undefined ? 'password' : 'publickey';
    const options = [
      ...[`PreferredAuthentications=${methods}`, 'NumberOfPasswordPrompts=1', 'StrictHostKeyChecking=no'],
      ...['UserKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'IdentityAgent=none', `IdentityFile=${key}`],
    ].flatMap((option) => ['-o', option]);
    const args = ['-F', '/dev/null', ...options, '-o', 'LogLevel=ERROR', '-p', String(port), '-l', login];
    const env = { SSH_ASKPASS: ask, SSH_ASKPASS_REQUIRE: 'force', SALLYPORT_LAB_PASSWORD: password ?? '' };
    const { code, stderr } = await runChild('ssh', [...args, host, 'true'], { env });
    if (code === 0) return true;
    if (stderr.includes('Permission denied')) return false;
    throw new Error(`ssh as ${login}: ${stderr}`);
  };
}
