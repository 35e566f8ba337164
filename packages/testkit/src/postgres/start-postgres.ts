import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, chmod, chown, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PamError } from '@sallyport/protocol';
import type { Within } from '../process/child.ts';
import { freePort } from '../process/free-port.ts';

const run = promisify(execFile);

/** A private server: superuser `postgres` with a password, TCP on 127.0.0.1 only, in a temporary folder. */
export interface PostgresServer {
  /** `postgres://…` of the database `postgres`. */
  readonly url: string;
  readonly port: number;
  /** Makes an empty database and answers its URL. `settings` become its defaults (`ALTER DATABASE … SET`). */
  createDatabase(name: string, settings?: Readonly<Record<string, string>>): Promise<string>;
  /** Runs SQL in `database` by psql and answers what it prints, unaligned. */
  psql(database: string, sql: string): Promise<string>;
  /** Everything it has logged. */
  log(): Promise<string>;
  /** Stops it at once and removes its folder. Idempotent. */
  stop(): Promise<void>;
}

const debianRoot = '/usr/lib/postgresql';
const systemUser = 'postgres';

/**
 * Says why no PostgreSQL can be had here, or null when one can. With `CI=true` a missing one is a failure, not a reason
 * to skip.
 *
 * @throws PAM_CONFIG_INVALID with CI=true
 */
export async function whyNoPostgres(): Promise<string | null> {
  const why = await missing();
  if (why !== null && process.env['CI'] === 'true') throw new PamError('PAM_CONFIG_INVALID', `with CI=true: ${why}`);
  return why;
}

async function missing(): Promise<string | null> {
  if ((await binaries()) === null) return 'PostgreSQL 15 or newer is not installed (apt-get install postgresql-15)';
  if (userInfo().uid !== 0) return null;
  const known = await run('id', ['-u', systemUser]).then(
    () => true,
    () => false,
  );
  return known ? null : 'initdb refuses root and there is no user postgres';
}

async function binaries(): Promise<string | null> {
  if (!existsSync(debianRoot)) return null;
  const versions = (await readdir(debianRoot)).map(Number).filter((version) => version >= 15);
  const newest = versions.sort((a, b) => b - a).find((v) => existsSync(join(debianRoot, String(v), 'bin', 'initdb')));
  return newest === undefined ? null : join(debianRoot, String(newest), 'bin');
}

export interface PostgresOptions {
  /** Further settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Lets it speak TLS with this key, to those who ask. */
  readonly tls?: { readonly privateKeyPem: string; readonly certificatePem: string };
  /** Makes it a standby that follows this one. */
  readonly standbyOf?: Pick<PostgresServer, 'port'>;
}

/** Another machine for it. */
export interface PostgresPlace {
  readonly address: string;
  readonly within: Within;
}

/**
 * Starts a private PostgreSQL; about 1.5 s. It ends with `stop`, or with this process.
 *
 * @throws PAM_CONFIG_INVALID saying why there is none; ask `whyNoPostgres` first to skip.
 */
export async function startPostgres(place?: PostgresPlace, options: PostgresOptions = {}): Promise<PostgresServer> {
  const bin = await binaries();
  const why = await whyNoPostgres();
  if (bin === null || why !== null) throw new PamError('PAM_CONFIG_INVALID', why ?? 'there is no PostgreSQL');
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-pg-'));
  const asRoot = userInfo().uid === 0;
  if (asRoot) {
    const { stdout } = await run('id', ['-u', systemUser]);
    await chown(folder, Number(stdout.trim()), 0);
    await chmod(folder, 0o755);
  }
  const command = (program: string, args: readonly string[]): [string, string[]] =>
    asRoot ? ['runuser', ['-u', systemUser, '--', join(bin, program), ...args]] : [join(bin, program), [...args]];

  const data = join(folder, 'data');
  const password = join(folder, 'password');
  await writeFile(password, 'test-only\n', { mode: 0o644 });
  const auth = ['--auth-local=trust', '--auth-host=scram-sha-256', `--pwfile=${password}`];
  const host = place?.address ?? '127.0.0.1';
  if (options.standbyOf === undefined) {
    const init = ['-D', data, '-U', 'postgres', ...auth, '-E', 'UTF8', '--no-locale', '--no-sync'];
    await run(...command('initdb', init));
    const hosts = ['host all all all scram-sha-256', 'host replication postgres all scram-sha-256'];
    await appendFile(join(data, 'pg_hba.conf'), hosts.map((line) => `${line}\n`).join(''));
  } else {
    const from = `host=127.0.0.1 port=${options.standbyOf.port} user=postgres password=test-only`;
    await run(...command('pg_basebackup', ['-d', from, '-D', data, '-R', '-X', 'stream', '-c', 'fast', '--no-sync']));
  }
  const port = await freePort();
  if (options.tls !== undefined) {
    await writeFile(join(data, 'server.crt'), options.tls.certificatePem, { mode: 0o644 });
    // PostgreSQL takes a key of root's that its group may read, or one of its own.
    await writeFile(join(data, 'server.key'), options.tls.privateKeyPem, { mode: 0o600 });
    if (asRoot) await run('chown', [systemUser, join(data, 'server.key'), join(data, 'server.crt')]);
  }
  const settings = [
    `listen_addresses=${host}`,
    `port=${port}`,
    `unix_socket_directories=${folder}`,
    'fsync=off', // a test's server never loses power; kill -9 of its clients loses nothing either way
    'max_connections=300',
    'shared_buffers=32MB',
    ...(options.tls === undefined ? [] : ['ssl=on']),
    ...Object.entries(options.settings ?? {}).map(([name, value]) => `${name}=${value}`),
  ].flatMap((setting) => ['-c', setting]);
  // The shell waits on stdin, which closes with this process however it ends, and then stops the server by its own
  // pid file (runuser does not pass SIGINT on) and removes the folder.
  const [program, args] = command('postgres', ['-D', data, ...settings]);
  const script = '"$@" & cat > /dev/null; kill -INT $(head -1 "$0/data/postmaster.pid"); wait; rm -rf "$0"';
  const shell = ['-c', script, folder, program, ...args];
  const [shellCommand, argv] = place?.within('sh', shell) ?? ['sh', shell];
  // A file and no pipe: what it logs of a login is there before the login has its answer.
  const logFile = join(folder, 'server.log');
  const logHandle = await open(logFile, 'a');
  const guard = spawn(shellCommand, argv, {
    stdio: ['pipe', 'ignore', logHandle.fd],
  });
  await logHandle.close();
  const url = `postgres://postgres:test-only@${host}:${port}/postgres`;
  const psql = async (database: string, sql: string): Promise<string> => {
    const { stdout } = await run(join(bin, 'psql'), [
      '-h',
      folder,
      '-p',
      String(port),
      '-U',
      'postgres',
      '-d',
      database,
      '-AtX',
      '-v',
      'ON_ERROR_STOP=1',
      '-c',
      sql,
    ]);
    return stdout.trim();
  };
  await ready([join(bin, 'pg_isready'), '-q', '-h', folder, '-p', String(port), '-t', '1'], guard);

  let stopped: Promise<void> | null = null;
  return {
    url,
    port,
    psql,
    createDatabase: async (name, defaults = {}) => {
      await psql('postgres', `CREATE DATABASE "${name}"`);
      for (const [key, value] of Object.entries(defaults)) {
        await psql('postgres', `ALTER DATABASE "${name}" SET ${key} = '${value}'`);
      }
      return url.replace(/\/postgres$/, `/${name}`);
    },
    log: () => readFile(logFile, 'utf8'),
    stop: () => {
      stopped ??= new Promise<void>((resolve) => {
        if (guard.exitCode !== null) resolve();
        guard.once('exit', () => resolve());
        guard.stdin?.end();
      }).then(() => rm(folder, { recursive: true, force: true }));
      return stopped;
    },
  };
}

async function ready([isReady = '', ...args]: readonly string[], guard: ReturnType<typeof spawn>): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const up = await run(isReady, args).then(
      () => true,
      () => false,
    );
    if (up) return;
    if (guard.exitCode !== null || performance.now() > deadline) {
      guard.stdin?.end();
      throw new PamError('PAM_TIMEOUT', 'the private PostgreSQL did not come up');
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
