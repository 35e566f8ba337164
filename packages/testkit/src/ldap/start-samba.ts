import { randomInt } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runChild, startChild } from '../process/child.ts';
import type { Later } from '../process/cleanup.ts';
import { tempDir } from '../process/temp-dir.ts';
import { escapeNameValue, ldifOf } from './directory-entry.ts';
import { makeServerKey } from './server-key.ts';

/**
 * A real Samba Active Directory domain controller of this test's own, domain `lab.test` (`LAB`). Its ports are fixed, so it
 * has a loopback address to itself.
 */
export interface SambaTarget {
  readonly host: string;
  /** LDAPS. */
  readonly port: number;
  /** LDAP with StartTLS. */
  readonly plainPort: number;
  /** May reset passwords of people and write `adminDescription`: no more. */
  readonly rotator: { readonly login: string; readonly password: string };
  /** May reset passwords of people and nothing else. */
  readonly resetter: { readonly login: string; readonly password: string };
  readonly keyFile: string;
  readonly certificateFile: string;
  /** What it was started with: it shows another command line. */
  readonly args: readonly string[];
  /** Makes a person, anew where there is one, and answers its distinguished name. */
  addPerson(user: string, password: string): Promise<string>;
  /** One Modify as the domain's administrator. */
  modify(name: string, lines: readonly (readonly [attribute: string, value: string])[]): Promise<void>;
  /** Values of an attribute, as the administrator reads them. */
  read(name: string, attribute: string): Promise<readonly string[]>;
  /** Tries to log in with a password that is wrong, until the account is locked out. */
  lockOut(login: string): Promise<void>;
  /** Logins tried with this name. */
  attempts(login: string): Promise<number>;
  log(): string;
}

const domain = 'DC=lab,DC=test';
const users = `CN=Users,${domain}`;
const administrator = { login: 'administrator@lab.test', password: 'Admin-of-the-lab-1' };
const badLoginsUntilLocked = 10;
/** Extended right to reset a password, the attribute adminDescription, the class user ([MS-ADTS] 5.1.3.2.1, [MS-ADA1]). */
const guids = {
  resetPassword: '00299570-246d-11d0-a768-00aa006e0529',
  adminDescription: 'bf967919-0de6-11d0-a285-00aa003049e2',
  user: 'bf967aba-0de6-11d0-a285-00aa003049e2',
};

async function must(
  program: string,
  args: readonly string[],
  options: Parameters<typeof runChild>[2] = {},
): Promise<string> {
  const run = await runChild(program, args, { withinMs: 180_000, ...options });
  if (run.code !== 0) throw new Error(`${program} ${args.join(' ')}: ${run.stderr}${run.stdout}`);
  return run.stdout;
}

function configOf(folder: string, address: string): string {
  return [
    '[global]',
    'netbios name = DC1',
    'realm = LAB.TEST',
    'workgroup = LAB',
    'server role = active directory domain controller',
    'server services = ldap',
    'dcerpc endpoint servers = -winreg -srvsvc',
    `interfaces = ${address}/8`,
    'bind interfaces only = yes',
    `private dir = ${folder}/private`,
    `lock directory = ${folder}`,
    `state directory = ${folder}/state`,
    `cache directory = ${folder}/cache`,
    `binddns dir = ${folder}/bind-dns`,
    `pid directory = ${folder}/run`,
    `ncalrpc dir = ${folder}/ncalrpc`,
    `winbindd socket directory = ${folder}/winbindd`,
    `ntp signd socket directory = ${folder}/ntp`,
    'log level = 1 auth_audit:3',
    'tls enabled = yes',
    `tls keyfile = ${folder}/key.pem`,
    `tls certfile = ${folder}/cert.pem`,
    `tls cafile = ${folder}/cert.pem`,
    'disable netbios = yes',
    // Else the former password opens for an hour.
    'old password allowed period = 0',
    '',
  ].join('\n');
}

/** Makes the domain, its two servants and their rights, all before the server is started. */
async function provision(
  folder: string,
  address: string,
  servants: readonly { login: string; password: string }[],
): Promise<string> {
  const empty = join(folder, 'empty.conf');
  writeFileSync(empty, '[global]\n');
  await must('samba-tool', [
    ...['domain', 'provision', `--configfile=${empty}`, `--targetdir=${folder}`, '--realm=LAB.TEST', '--domain=LAB'],
    ...['--server-role=dc', '--dns-backend=NONE', `--adminpass=${administrator.password}`, '--host-name=dc1'],
    ...[`--host-ip=${address}`, `--option=interfaces=${address}/8`, '--option=bind interfaces only=yes'],
  ]);
  const config = join(folder, 'dc.conf');
  writeFileSync(config, configOf(folder, address));
  for (const name of ['run', 'cache', 'state']) mkdirSync(join(folder, name), { recursive: true });
  const database = join(folder, 'private', 'sam.ldb');
  const tool = (args: readonly string[]): Promise<string> =>
    must('samba-tool', [...args, `--configfile=${config}`, '-H', database]);
  await tool([
    ...['domain', 'passwordsettings', 'set', '--min-pwd-age=0', '--history-length=3', '--min-pwd-length=9'],
    `--account-lockout-threshold=${badLoginsUntilLocked}`,
  ]);
  const rights: string[] = [];
  for (const [at, { login, password }] of servants.entries()) {
    const [name = ''] = login.split('@');
    await tool(['user', 'create', name, password]);
    const shown = await tool(['user', 'show', name, '--attributes=objectSid']);
    const sid = /^objectSid: (\S+)$/m.exec(shown)?.[1] ?? '';
    rights.push(`(OA;CIIO;CR;${guids.resetPassword};${guids.user};${sid})`);
    if (at === 0) rights.push(`(OA;CIIO;WP;${guids.adminDescription};${guids.user};${sid})`);
  }
  await tool(['dsacl', 'set', `--objectdn=${users}`, `--sddl=${rights.join('')}`]);
  return config;
}

export async function startSamba(later: Later): Promise<SambaTarget> {
  const folder = tempDir(later);
  const address = `127.${randomInt(64, 192)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
  const [rotator, resetter] = ['rotator', 'resetter'].map((name) => ({
    login: `${name}@lab.test`,
    password: `${name}-of-the-Lab-1`,
  }));
  if (rotator === undefined || resetter === undefined) throw new Error('no servants');
  await makeServerKey(folder, 'dc1.lab.test', address);
  const config = await provision(folder, address, [rotator, resetter]);
  const args = ['--foreground', '--no-process-group', '--model=single', '--debug-stdout', `--configfile=${config}`];
  const child = startChild(later, '/usr/sbin/samba', args);
  const secret = join(folder, 'administrator');
  writeFileSync(secret, administrator.password, { mode: 0o600 });
  const client = { env: { LDAPTLS_REQCERT: 'never' } };
  const as = (login: string): readonly string[] => ['-x', '-H', `ldaps://${address}:636/`, '-D', login, '-y', secret];
  const root = as(administrator.login);
  const login = (name: string): ReturnType<typeof runChild> =>
    runChild('ldapsearch', [...as(name), '-s', 'base', '-b', '', 'dnsHostName'], client);
  await untilUp(async () => (await login(administrator.login)).code === 0, child.stdout);
  let marks = 0;
  return {
    args,
    host: address,
    port: 636,
    plainPort: 389,
    rotator,
    resetter,
    keyFile: join(folder, 'key.pem'),
    certificateFile: join(folder, 'cert.pem'),
    async addPerson(user, password) {
      const name = `CN=${escapeNameValue(user)},${users}`;
      await runChild('ldapdelete', [...root, name], client);
      const quoted = Buffer.from(`"${password}"`, 'utf16le').toString('base64');
      const entry = ldifOf(name, [
        ['objectClass', 'user'],
        ['sAMAccountName', user],
        ['userPrincipalName', `${user}@lab.test`],
        ['userAccountControl', '512'],
      ]);
      await must('ldapadd', root, { ...client, input: `${entry}unicodePwd:: ${quoted}\n` });
      return name;
    },
    async modify(name, lines) {
      await must('ldapmodify', root, { ...client, input: ldifOf(name, [['changetype', 'modify'], ...lines]) });
    },
    async read(name, attribute) {
      const search = [...root, '-LLL', '-o', 'ldif-wrap=no', '-s', 'base', '-b', name, attribute];
      const lines = (await must('ldapsearch', search, client)).split('\n');
      return lines.filter((line) => line.startsWith(`${attribute}: `)).map((line) => line.slice(attribute.length + 2));
    },
    async lockOut(name) {
      for (let tries = 0; tries < badLoginsUntilLocked; tries += 1) await login(name);
    },
    async attempts(name) {
      // What the server logged of a later login stands behind whatever it logged before.
      marks += 1;
      await login(`mark-${marks}@lab.test`);
      await child.waitForLine(new RegExp(`^Auth: .*\\[mark-${marks}@lab\\.test\\]`), { from: 'stdout' });
      return child.stdout().split(`user [LAB]\\[${name}] at `).length - 1;
    },
    log: child.stdout,
  };
}

async function untilUp(isUp: () => Promise<boolean>, log: () => string): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await isUp()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Samba did not come up: ${log()}`);
}
