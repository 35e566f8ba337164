import { randomBytes } from 'node:crypto';
import { newRouterIdentity } from '@sallyport/seal';
import type { Credential, KindAccount, KindTarget } from '@sallyport/rotation';
import { Secret } from '@sallyport/rotation';
import type { HeldWrite, KindLab, KindLogin, KindServer, Later, MariaDbServer } from '@sallyport/testkit';
import { startMariaDb } from '@sallyport/testkit';
import { accountHost } from '../../src/kind/mysql/account-host.ts';
import { nativeHash } from '../../src/kind/mysql/login-method.ts';
import { mysql } from '../../src/kind/mysql/mysql.ts';
import { quoteAccount } from '../../src/kind/mysql/write-text.ts';

export const target: KindTarget = {
  host: '127.0.0.1',
  port: 3306,
  identity: null,
  useTls: false,
  recordType: 'pamDatabase',
  databaseType: 'mariadb',
  directoryType: null,
  domain: null,
  replicas: [],
  custom: {},
};

export const accountOf = (login: string): KindAccount => ({
  login,
  distinguishedName: null,
  database: null,
  custom: {},
});

export const freshCredential = (): Credential => ({
  kind: 'password',
  password: new Secret(`pw-'"\\$(id)%s ${randomBytes(12).toString('hex')}`),
});

const textOf = (credential: Credential): string => (credential.kind === 'password' ? credential.password.reveal() : '');

/** Names that a careless statement, format or shell would take for something else; MariaDB keeps 128 characters. */
const hostileLogins = [
  `x'; DROP USER root@localhost; --`,
  '`x`; DROP USER root@localhost; --',
  'back\\slash\\',
  '$(id)`id`',
  'new\nline',
  'Grüße-你好',
  '"quoted"',
  'CURRENT_USER',
  'me@corp.example@%',
  'app@127.0.0.1',
  'not a@host part',
  'x'.repeat(80),
] as const;

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < 1_000; look += 1) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('did not come to pass');
}

export interface MysqlLab extends KindServer {
  readonly mariaDb: MariaDbServer;
}

/** MariaDB with TLS, an account `rotator` that may change others, and everything logged. */
export async function startMysqlLab(later: Later): Promise<MysqlLab> {
  const identity = await newRouterIdentity(['127.0.0.1'], Date.now());
  const mariaDb = await startMariaDb({
    tls: identity,
    options: [
      ...['--general-log', '--general-log-file=general.log'],
      ...['--slow-query-log', '--slow-query-log-file=slow.log', '--long-query-time=0'],
      ...['--log-bin=binlog', '--log-warnings=9'],
    ],
  });
  later(() => mariaDb.stop());
  const makeUser = async (login: string): Promise<KindLogin> => {
    const credential = freshCredential();
    const name = quoteAccount(accountHost({ login }));
    await mariaDb.sql(`CREATE OR REPLACE USER ${name} IDENTIFIED BY PASSWORD '${nativeHash(textOf(credential))}'`);
    return { account: accountOf(login), credential };
  };
  const admin = await makeUser('rotator@127.0.0.1');
  await mariaDb.sql(
    'GRANT CREATE USER ON *.* TO rotator@127.0.0.1; GRANT SELECT ON mysql.global_priv TO rotator@127.0.0.1',
  );
  const powerless = await makeUser('nobody_in_particular');
  await mariaDb.sql('GRANT SELECT ON mysql.global_priv TO nobody_in_particular');
  const here: KindTarget = { ...target, port: mariaDb.port, useTls: true, identity: `sha256:${identity.pin}` };
  let made = 0;

  /** Logins go by what the server keeps in memory, so they do not mind. */
  async function hold(): Promise<HeldWrite> {
    const held = await mariaDb.hold('LOCK TABLES mysql.global_priv READ');
    const waits = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for%lock'";
    return {
      target: here,
      waiting: () => until(async () => Number(await mariaDb.sql(waits)) > 0),
      release: () => held.release(),
      passes: false,
    };
  }

  return {
    mariaDb,
    target: here,
    admin,
    makeAccount: (login) => {
      made += 1;
      return makeUser(login ?? `account${made}`);
    },
    nextCredential: freshCredential,
    attempts: async (account) => {
      const log = await mariaDb.log();
      return log.split(` Connect\t${accountHost(account).user}@127.0.0.1 on `).length - 1;
    },
    lock: async (account) => void (await mariaDb.sql(`ALTER USER ${quoteAccount(accountHost(account))} ACCOUNT LOCK`)),
    expire: async (account) =>
      void (await mariaDb.sql(`ALTER USER ${quoteAccount(accountHost(account))} PASSWORD EXPIRE`)),
    powerless: () => Promise.resolve(powerless),
    missing: () => Promise.resolve(accountOf('not_here')),
    readOnly: async () => {
      await mariaDb.sql('SET GLOBAL read_only = 1');
      return async () => void (await mariaDb.sql('SET GLOBAL read_only = 0'));
    },
    hold,
    log: () => mariaDb.log(),
    hostileLogins: () => hostileLogins,
  };
}

export function packet(payload: Buffer, sequence: number): Buffer {
  const head = Buffer.alloc(4);
  head.writeUIntLE(payload.byteLength, 0, 3);
  head[3] = sequence;
  return Buffer.concat([head, payload]);
}

const latin = (text: string): Buffer => Buffer.from(text, 'latin1');

/** A greeting as MariaDB 10.11 says it. */
export function greetingOf(plugin: string, capabilities = 0xffff_ffff): Buffer {
  const low = Buffer.alloc(2);
  low.writeUInt16LE(capabilities % 0x1_0000);
  const high = Buffer.alloc(2);
  high.writeUInt16LE(Math.floor(capabilities / 0x1_0000));
  const text = [latin('\x0a5.5.5-10.11.19-MariaDB\0\x07\0\0\0challeng\0'), low, latin('\x2d\x02\0'), high];
  return packet(Buffer.concat([...text, latin(`\x15${'\0'.repeat(10)}e-of-20-byte\0${plugin}\0`)]), 0);
}

const greeting = greetingOf('mysql_native_password');
const rightAway = packet(latin('\0\0\0\x02\0\0\0'), 2);

/** What the suite is told. Its own cases without a server speak to a target without TLS. */
export const mysqlLab = (server: () => KindServer): KindLab => ({
  kind: mysql,
  absent: {
    weak: 'the server is given a hash, of which it can judge nothing; one that judges passwords has its own test',
  },
  target,
  login: { account: accountOf('app'), credential: freshCredential() },
  lies: {
    'the password is right before it was asked for': packet(latin('\0\0\0\x02\0\0\0'), 0),
    'a greeting and nothing more': greeting,
    'a greeting without an end': packet(latin('\x0a5.5.5-10.11.19'), 0),
    'a greeting of another age': packet(latin('\x09'), 0),
    'it wants the password in clear': Buffer.concat([
      greeting,
      packet(latin(`\xfemysql_clear_password\0${'x'.repeat(20)}\0`), 2),
    ]),
    'it wants the password as 25 years ago': Buffer.concat([greeting, packet(latin('\xfe'), 2)]),
    'it has not remembered the password': Buffer.concat([
      greetingOf('caching_sha2_password'),
      packet(latin('\x01\x04'), 2),
    ]),
    'it changes its method for ever': Buffer.concat([
      greeting,
      ...[2, 4, 6, 8, 10].map((sequence) => packet(latin(`\xfemysql_native_password\0${'x'.repeat(20)}\0`), sequence)),
    ]),
    'it wants a file before it was asked anything': Buffer.concat([
      greeting,
      rightAway,
      packet(latin('\xfb/etc/passwd'), 1),
    ]),
    'it announces sixteen megabytes': latin('\xff\xff\xff\0'),
    'a packet of nothing': latin('\0\0\0\0'),
  },
  server,
});
