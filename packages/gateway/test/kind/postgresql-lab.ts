import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { newRouterIdentity } from '@sallyport/seal';
import type { Credential, KindAccount, KindTarget } from '@sallyport/rotation';
import { Secret } from '@sallyport/rotation';
import type { HeldWrite, KindLab, KindLogin, KindServer, Later, PostgresServer } from '@sallyport/testkit';
import { startPostgres } from '@sallyport/testkit';
import { Client, escapeIdentifier, escapeLiteral } from 'pg';
import { postgresql } from '../../src/kind/postgresql/postgresql.ts';
import { scramVerifier } from '../../src/kind/postgresql/scram-verifier.ts';

export const target: KindTarget = {
  host: '127.0.0.1',
  port: 5432,
  identity: null,
  useTls: false,
  recordType: 'pamDatabase',
  databaseType: 'postgresql',
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

export const textOf = (credential: Credential): string =>
  credential.kind === 'password' ? credential.password.reveal() : '';

/** Names that a careless statement, format or shell would take for something else. */
const hostileLogins = [
  `x'; DROP ROLE postgres; --`,
  'back\\slash\\',
  '$(id)`id`',
  '$sallyport$ $$',
  '%I %L %s',
  'new\nline',
  'Grüße-你好-🔑',
  '"quoted"',
  'CURRENT_USER',
  ' space ',
  'x'.repeat(63),
] as const;

/** A superuser's own session beside ours. */
export async function superuser(postgres: PostgresServer, database = 'postgres'): Promise<Client> {
  const client = new Client({ connectionString: postgres.url.replace(/\/postgres$/, `/${database}`) });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < 2_000; look += 1) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('did not come to pass');
}

export async function whenLocked(postgres: PostgresServer, count: number): Promise<void> {
  const text = 'SELECT count(*) FROM pg_locks WHERE NOT granted';
  await until(async () => Number(await postgres.psql('postgres', text)) >= count);
}

export interface PostgresLab extends KindServer {
  readonly postgres: PostgresServer;
  /** From now on every password opens. */
  trustEverybody(): Promise<void>;
}

/** PostgreSQL with TLS, a role `rotator` that has CREATEROLE and nothing else, and everything logged. */
export async function startPostgresLab(later: Later): Promise<PostgresLab> {
  const identity = await newRouterIdentity(['127.0.0.1'], Date.now());
  const postgres = await startPostgres(undefined, {
    tls: identity,
    settings: {
      log_statement: 'all',
      log_connections: 'on',
      log_min_error_statement: 'debug5',
      log_error_verbosity: 'verbose',
      log_min_messages: 'info',
      deadlock_timeout: '100ms',
    },
  });
  later(() => postgres.stop());
  await postgres.createDatabase('aside');
  const makeRole = async (login: string, options = ''): Promise<KindLogin> => {
    const credential = freshCredential();
    const verifier = scramVerifier(textOf(credential), randomBytes(16));
    await postgres.psql('postgres', `DROP ROLE IF EXISTS ${escapeIdentifier(login)}`);
    await postgres.psql(
      'postgres',
      `CREATE ROLE ${escapeIdentifier(login)} LOGIN ${options} PASSWORD ${escapeLiteral(verifier)}`,
    );
    return { account: accountOf(login), credential };
  };
  const admin = await makeRole('rotator', 'CREATEROLE');
  const powerless = await makeRole('nobody_in_particular');
  const here: KindTarget = {
    ...target,
    port: postgres.port,
    useTls: true,
    identity: `sha256:${identity.pin}`,
  };
  let made = 0;

  /** Without CREATEROLE no advisory lock is taken, so the table itself is locked: in a mode that logins do not mind. */
  async function hold(account: KindAccount, by: 'admin' | 'own'): Promise<HeldWrite> {
    const blocker = await superuser(postgres, 'aside');
    later(() => blocker.end());
    if (by === 'admin') {
      const text = `SELECT pg_advisory_lock(1398893676, (oid::bigint % 2147483647)::int)
        FROM pg_roles WHERE rolname = ${escapeLiteral(account.login)}`;
      await blocker.query(text);
    } else {
      await blocker.query('BEGIN; LOCK TABLE pg_authid IN SHARE MODE');
    }
    return {
      target: by === 'admin' ? { ...here, custom: { database: 'aside' } } : here,
      waiting: () => whenLocked(postgres, 1),
      release: () => blocker.end(),
      passes: by === 'admin',
    };
  }

  return {
    postgres,
    trustEverybody: async () => {
      const file = await postgres.psql('postgres', 'SHOW hba_file');
      await writeFile(file, 'local all all trust\nhost all all all trust\n');
      await postgres.psql('postgres', 'SELECT pg_reload_conf()');
      await until(async () => {
        const stranger = new Client({ connectionString: postgres.url.replace('test-only', 'something-else') });
        return stranger.connect().then(
          () => stranger.end().then(() => true),
          () => false,
        );
      });
    },
    target: here,
    admin,
    makeAccount: (login) => {
      made += 1;
      return makeRole(login ?? `account${made}`);
    },
    nextCredential: freshCredential,
    attempts: async ({ login }) => {
      const log = await postgres.log();
      const good = `connection authorized: user=${login} `;
      const bad = `password authentication failed for user "${login}"`;
      return log.split(good).length + log.split(bad).length - 2;
    },
    lock: async ({ login }) => void (await postgres.psql('postgres', `ALTER ROLE ${escapeIdentifier(login)} NOLOGIN`)),
    powerless: () => Promise.resolve(powerless),
    missing: () => Promise.resolve(accountOf('not_here')),
    readOnly: async () => {
      const set = async (value: 'on' | 'off'): Promise<void> => {
        await postgres.psql('postgres', `ALTER SYSTEM SET default_transaction_read_only = ${value}`);
        await postgres.psql('postgres', 'SELECT pg_reload_conf()');
        await until(async () => (await postgres.psql('postgres', 'SHOW default_transaction_read_only')) === value);
      };
      await set('on');
      return () => set('off');
    },
    hold,
    log: () => postgres.log(),
    hostileLogins: () => hostileLogins,
  };
}

const authentication = (code: number, length = 8): Buffer => {
  const bytes = Buffer.alloc(9);
  bytes.write('R');
  bytes.writeUInt32BE(length, 1);
  bytes.writeUInt32BE(code, 5);
  return bytes;
};

/** What the suite is told. Its own cases without a server speak to a target without TLS. */
export const postgresLab = (server: () => KindServer): KindLab => ({
  kind: postgresql,
  absent: {
    expire: 'PostgreSQL answers an expired password like a wrong one; only its log knows better',
    weak: 'the server is given a SCRAM verifier, of which it can judge nothing',
  },
  target,
  login: { account: accountOf('app'), credential: freshCredential() },
  lies: {
    'the password is right before it was asked for': authentication(0),
    'it wants the password in clear': authentication(3),
    'it announces four gigabytes': authentication(10, 0xff_ff_ff_ff),
    'a method of four bytes': authentication(10),
    'a method that nobody knows': authentication(99),
    'a message shorter than its own length field': Buffer.from('R\0\0\0\0', 'latin1'),
    'an error without an end': Buffer.from('E\0\0\0\x08SFAT', 'latin1'),
  },
  server,
});
