import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Later, runChild, startSamba, startSlapd, tempDir } from '@sallyport/testkit';
import type { AccountLab } from './account-lab.ts';

const invalidCredentials = 49;

/** OpenLDAP with people that a rotator may give passwords to. */
export async function startOpenldapAccounts(later: Later): Promise<AccountLab> {
  const server = await startSlapd(later);
  const { host, port, rotator } = server;
  const names = new Map<string, string>();
  const opens = ldapLogins(later, `ldaps://${host}:${port}/`);
  return {
    ...{ kind: 'openldap', host, port },
    resource: {
      type: 'pamDirectory',
      host,
      port,
      directoryType: 'openldap',
      useSsl: true,
      custom: { ldapPasswordHash: 'server' },
    },
    admin: {
      fields: { login: 'rotator', distinguishedName: rotator.name },
      secrets: { password: rotator.password },
    },
    makeAccount: async (login) => {
      const password = `first-of-${login}`;
      const distinguishedName = await server.addPerson(login, password);
      names.set(login, distinguishedName);
      return { fields: { login, distinguishedName }, secrets: { password } };
    },
    opens: (login, { password = '' }) => opens(names.get(login) ?? '', password),
    restarts: true,
  };
}

/** A domain controller with people whose passwords a rotator may reset. */
export async function startActiveDirectoryAccounts(later: Later): Promise<AccountLab> {
  const server = await startSamba(later);
  const { host, port, rotator } = server;
  const opens = ldapLogins(later, `ldaps://${host}:${port}/`);
  return {
    ...{ kind: 'active-directory', host, port },
    resource: {
      ...{ type: 'pamDirectory', host, port, directoryType: 'active_directory' },
      ...{ domainName: 'lab.test', useSsl: true },
    },
    admin: { fields: { login: rotator.login }, secrets: { password: rotator.password } },
    makeAccount: async (name) => {
      const password = `First-of-${name}-1`;
      await server.addPerson(name, password);
      return { fields: { login: `${name}@lab.test` }, secrets: { password } };
    },
    opens: (login, { password = '' }) => opens(login, password),
    restarts: true,
    args: server.args,
  };
}

/** @throws when the server says anything but yes or wrong password. */
function ldapLogins(later: Later, url: string): (name: string, password: string) => Promise<boolean> {
  const file = join(tempDir(later), 'password');
  return async (name, password) => {
    writeFileSync(file, password, { mode: 0o600 });
    const args = ['-x', '-H', url, '-D', name, '-y', file, '-s', 'base', '-b', '', '1.1'];
    const { code, stderr } = await runChild('ldapsearch', args, { env: { LDAPTLS_REQCERT: 'never' } });
    if (code === 0) return true;
    if (code === invalidCredentials) return false;
    throw new Error(`ldapsearch as ${name}: ${stderr}`);
  };
}
