import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runChild, startChild } from '../process/child.ts';
import type { Later } from '../process/cleanup.ts';
import { freePort } from '../process/free-port.ts';
import { tempDir } from '../process/temp-dir.ts';
import { escapeNameValue, ldifOf } from './directory-entry.ts';
import { makeServerKey } from './server-key.ts';

/** A real OpenLDAP server of this test's own: LDAPS and LDAP on loopback, people below `ou=people,dc=lab,dc=test`. */
export interface SlapdTarget {
  readonly host: string;
  /** LDAPS. */
  readonly port: number;
  /** LDAP with StartTLS. */
  readonly plainPort: number;
  /** May read everything, and write `userPassword` and `description` of people: no more. */
  readonly rotator: { readonly name: string; readonly password: string };
  readonly keyFile: string;
  readonly certificateFile: string;
  /** Makes a person, anew where there is one, and answers its distinguished name. */
  addPerson(name: string, password: string): Promise<string>;
  /** Runs a Modify as the root of the database, which stands above access and policy. */
  modify(name: string, lines: readonly (readonly [attribute: string, value: string])[]): Promise<void>;
  /** Values of an attribute, read as the root of the database. */
  read(name: string, attribute: string): Promise<readonly string[]>;
  setReadOnly(isReadOnly: boolean): Promise<void>;
  /** Logins tried with this name. */
  attempts(name: string): Promise<number>;
  log(): string;
}

export interface SlapdOptions {
  /** Overlay ppolicy: at least 10 characters, the last 3 are refused, clear passwords are hashed. Default: true. */
  readonly hasPolicy?: boolean;
}

const suffix = 'dc=lab,dc=test';
const root = { name: `cn=admin,${suffix}`, password: 'root-of-the-lab' };
const rotator = { name: `uid=rotator,ou=people,${suffix}`, password: 'Rotator-pw-0001' };
export const expiringPolicy = `cn=expiring,ou=policies,${suffix}`;

const policyConfig = [
  'overlay ppolicy',
  `ppolicy_default cn=default,ou=policies,${suffix}`,
  'ppolicy_hash_cleartext',
  'ppolicy_use_lockout',
];

function configOf(folder: string, hasPolicy: boolean): string {
  return [
    ...['core', 'cosine', 'inetorgperson', 'nis'].map((name) => `include /etc/ldap/schema/${name}.schema`),
    `pidfile ${folder}/slapd.pid`,
    'modulepath /usr/lib/ldap',
    'moduleload back_mdb',
    'moduleload ppolicy',
    `TLSCACertificateFile ${folder}/cert.pem`,
    `TLSCertificateFile ${folder}/cert.pem`,
    `TLSCertificateKeyFile ${folder}/key.pem`,
    'database config',
    'rootdn cn=config',
    `rootpw ${root.password}`,
    'database mdb',
    'maxsize 67108864',
    `suffix ${suffix}`,
    `rootdn ${root.name}`,
    `rootpw ${root.password}`,
    `directory ${folder}/db`,
    'dbnosync',
    'index objectClass eq',
    ...(hasPolicy ? policyConfig : []),
    `access to attrs=userPassword by self write by dn.exact=${rotator.name} write by anonymous auth by * none`,
    `access to attrs=description by dn.exact=${rotator.name} write by self read by users read`,
    'access to * by self read by users read',
    '',
  ].join('\n');
}

const policyLines = (more: readonly (readonly [string, string])[]): readonly (readonly [string, string])[] => [
  ['objectClass', 'device'],
  ['objectClass', 'pwdPolicy'],
  ['pwdAttribute', 'userPassword'],
  ['pwdMinLength', '10'],
  ['pwdCheckQuality', '2'],
  ['pwdInHistory', '3'],
  ['pwdLockout', 'TRUE'],
  ['pwdMaxFailure', '50'],
  ...more,
];

const personLines = (name: string, password: string): readonly (readonly [string, string])[] => [
  ['objectClass', 'inetOrgPerson'],
  ['cn', name],
  ['sn', name],
  ['userPassword', password],
];

const seed = (hash: string): string =>
  [
    ldifOf(suffix, [
      ['objectClass', 'dcObject'],
      ['objectClass', 'organization'],
      ['dc', 'lab'],
      ['o', 'Lab'],
    ]),
    ...['people', 'policies'].map((ou) =>
      ldifOf(`ou=${ou},${suffix}`, [
        ['objectClass', 'organizationalUnit'],
        ['ou', ou],
      ]),
    ),
    ldifOf(`cn=default,ou=policies,${suffix}`, policyLines([['cn', 'default']])),
    ldifOf(
      expiringPolicy,
      policyLines([
        ['cn', 'expiring'],
        ['pwdMaxAge', '60'],
      ]),
    ),
    ldifOf(rotator.name, [...personLines('rotator', hash), ['uid', 'rotator']]),
  ].join('\n');

export async function startSlapd(later: Later, { hasPolicy = true }: SlapdOptions = {}): Promise<SlapdTarget> {
  const folder = tempDir(later);
  mkdirSync(join(folder, 'db'));
  await makeServerKey(folder, 'localhost', '127.0.0.1');
  const [config, secret] = [join(folder, 'slapd.conf'), join(folder, 'root')];
  writeFileSync(config, configOf(folder, hasPolicy));
  writeFileSync(secret, root.password, { mode: 0o600 });
  chmodSync(secret, 0o600);
  const must = async (program: string, args: readonly string[], input = ''): Promise<string> => {
    const run = await runChild(program, args, { input });
    if (run.code !== 0) throw new Error(`${program}: ${run.stderr}${run.stdout}`);
    return run.stdout;
  };
  const hashOf = async (password: string): Promise<string> => {
    const file = join(folder, 'password');
    writeFileSync(file, password, { mode: 0o600 });
    return (await must('/usr/sbin/slappasswd', ['-n', '-h', '{SSHA}', '-T', file])).trim();
  };
  await must('/usr/sbin/slapadd', ['-q', '-f', config], seed(await hashOf(rotator.password)));
  const [port, plainPort] = [await freePort(), await freePort()];
  const plain = `ldap://127.0.0.1:${plainPort}/`;
  const child = startChild(later, '/usr/sbin/slapd', [
    ...['-d', 'stats,stats2', '-f', config, '-h', `${plain} ldaps://127.0.0.1:${port}/`],
  ]);
  await child.waitForLine(/slapd starting/, { from: 'stderr' });

  const as = (name: string): readonly string[] => ['-x', '-H', plain, '-D', name, '-y', secret];
  let marks = 0;
  return {
    host: '127.0.0.1',
    port,
    plainPort,
    rotator,
    keyFile: join(folder, 'key.pem'),
    certificateFile: join(folder, 'cert.pem'),
    async addPerson(name, password) {
      const entry = `cn=${escapeNameValue(name)},ou=people,${suffix}`;
      // A person of this name from an earlier test is another person.
      await runChild('ldapdelete', [...as(root.name), entry]);
      await must('ldapadd', as(root.name), ldifOf(entry, personLines(name, await hashOf(password))));
      return entry;
    },
    async modify(name, lines) {
      await must('ldapmodify', [...as(root.name), '-e', 'relax'], ldifOf(name, [['changetype', 'modify'], ...lines]));
    },
    async read(name, attribute) {
      const text = await must('ldapsearch', [
        ...as(root.name),
        '-LLL',
        '-o',
        'ldif-wrap=no',
        '-s',
        'base',
        '-b',
        name,
        attribute,
      ]);
      const lines = text.split('\n').map((line) => /^([^:]+)(::?) (.*)$/.exec(line));
      return lines
        .filter((line) => line !== null && line[1]?.toLowerCase() === attribute.toLowerCase())
        .map((line) =>
          line?.[2] === '::' ? Buffer.from(line[3] ?? '', 'base64').toString('utf8') : (line?.[3] ?? ''),
        );
    },
    async setReadOnly(isReadOnly) {
      const change = ldifOf('olcDatabase={1}mdb,cn=config', [
        ['changetype', 'modify'],
        ['replace', 'olcReadOnly'],
        ['olcReadOnly', isReadOnly ? 'TRUE' : 'FALSE'],
      ]);
      await must('ldapmodify', as('cn=config'), change);
    },
    async attempts(name) {
      // What the server logged of a later search stands behind whatever it logged before.
      marks += 1;
      await runChild('ldapsearch', [...as(root.name), '-s', 'base', '-b', `cn=mark-${marks},${suffix}`]);
      await child.waitForLine(new RegExp(`SRCH base="cn=mark-${marks},`), { from: 'stderr' });
      return child.stderr().split(`BIND dn="${name}" method=128`).length - 1;
    },
    log: child.stderr,
  };
}

/** Private key and certificate of a server that was started here, for a proxy that stands in for it. */
export const readKey = ({ keyFile, certificateFile }: Pick<SlapdTarget, 'keyFile' | 'certificateFile'>) => ({
  key: readFileSync(keyFile),
  cert: readFileSync(certificateFile),
});
