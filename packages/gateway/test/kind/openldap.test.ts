import { randomBytes } from 'node:crypto';
import { type KindAccount, type KindTarget, Secret } from '@sallyport/rotation';
import {
  expiringPolicy,
  kindCases,
  type KindLab,
  type KindLogin,
  type KindServer,
  modifyMessage,
  readKey,
  requireTarget,
  type SlapdTarget,
  startHoldingProxy,
  startSlapd,
} from '@sallyport/testkit';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { inTreeKinds } from '../../src/kind/index.ts';

const presence = requireTarget('slapd');
const kind = inTreeKinds.find(({ description }) => description.name === 'openldap');
if (kind === undefined) throw new Error('openldap is not in the tree');

const secretText = (): string => `Kd-${randomBytes(12).toString('base64url')}`;
const password = (text = secretText()) => ({ kind: 'password', password: new Secret(text) }) as const;
const accountOf = (name: string): KindAccount => ({ login: name, distinguishedName: name, database: null, custom: {} });
const targetOf = (port: number, custom: KindTarget['custom']): KindTarget => ({
  host: '127.0.0.1',
  port,
  identity: null,
  useTls: true,
  recordType: 'pamDirectory',
  databaseType: null,
  directoryType: 'openldap',
  domain: null,
  replicas: [],
  custom,
});

const hostileNames = [
  "o'brien",
  'a,b+c=d',
  '"quoted"',
  'back\\slash',
  '#hash',
  '*)(cn=*',
  '$(id)`id`',
  '%s%n',
  'two\nlines',
  'Ünï ☃ code',
];

/** One lab for a server that hashes by policy, one for a server that keeps what it is sent. */
function labOf(slapd: () => SlapdTarget, custom: KindTarget['custom'], hasPolicy: boolean): KindLab {
  let made = 0;
  const makeAccount: KindServer['makeAccount'] = async (login) => {
    made += 1;
    const text = secretText();
    const name = await slapd().addPerson(login ?? `person-${made}`, text);
    return { account: accountOf(name), credential: password(text) };
  };
  const target = (): KindTarget => targetOf(slapd().port, custom);
  const later = (work: () => Promise<void> | void): void => void endings.push(work);
  const byPolicy: Partial<KindServer> = {
    weak: async () => password('short'),
    lock: (account) =>
      slapd().modify(account.login, [
        ['replace', 'pwdAccountLockedTime'],
        ['pwdAccountLockedTime', '000001010000Z'],
      ]),
    expire: async (account) => {
      await slapd().modify(account.login, [
        ['replace', 'pwdPolicySubentry'],
        ['pwdPolicySubentry', expiringPolicy],
      ]);
      await slapd().modify(account.login, [
        ['replace', 'pwdChangedTime'],
        ['pwdChangedTime', '20200101000000Z'],
      ]);
    },
  };
  const server: KindServer = {
    get target() {
      return target();
    },
    get admin(): KindLogin {
      const { rotator } = slapd();
      return { account: accountOf(rotator.name), credential: password(rotator.password) };
    },
    makeAccount,
    nextCredential: () => password(),
    attempts: (account) => slapd().attempts(account.login),
    powerless: () => makeAccount(),
    missing: async () => accountOf('cn=nobody,ou=people,dc=lab,dc=test'),
    readOnly: async () => {
      await slapd().setReadOnly(true);
      return () => slapd().setReadOnly(false);
    },
    hold: async () => {
      const proxy = await startHoldingProxy(later, slapd(), readKey(slapd()), modifyMessage);
      return {
        target: { ...target(), host: proxy.host, port: proxy.port },
        waiting: proxy.waiting,
        release: async () => proxy.release(),
        passes: true,
      };
    },
    log: async () => slapd().log(),
    hostileLogins: () => hostileNames,
    ...(hasPolicy ? byPolicy : {}),
  };
  const noPolicy = 'a server without the overlay ppolicy has no policy';
  return {
    kind: kind as NonNullable<typeof kind>,
    absent: {
      limit: 'LDAP gives a Modify no time limit; the fences hold however late it is',
      ...(hasPolicy ? {} : { weak: noPolicy, lock: noPolicy, expire: noPolicy }),
    },
    target: targetOf(636, custom),
    login: { account: accountOf('cn=somebody,ou=people,dc=lab,dc=test'), credential: password() },
    lies: {
      'a greeting nobody asked for': Buffer.from('300c02010161070a010004000400', 'hex'),
      'TLS of another kind': Buffer.from('15030300020228', 'hex'),
    },
    server: () => server,
  };
}

const endings: (() => Promise<void> | void)[] = [];
afterAll(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

describe.skipIf(presence.isMissing).each([
  ['a server that hashes by policy', { ldapPasswordHash: 'server' }, true],
  ['a server that keeps what it is sent', {}, false],
] as const)('openldap, %s', (_name, custom, hasPolicy) => {
  let slapd: SlapdTarget | undefined;
  beforeAll(async () => {
    slapd = await startSlapd((work) => void endings.push(work), { hasPolicy });
  }, 60_000);
  const lab = labOf(
    () => {
      if (slapd === undefined) throw new Error('slapd is not started');
      return slapd;
    },
    custom,
    hasPolicy,
  );
  for (const { name, absent, run } of kindCases(lab)) test.skipIf(absent !== null)(name, run, 120_000);
});
