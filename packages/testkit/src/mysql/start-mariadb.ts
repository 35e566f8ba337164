import { spawn } from 'node:child_process';
import { chmod, chown, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { runChild, startChild } from '../process/child.ts';
import { createCleanup } from '../process/cleanup.ts';
import { freePort } from '../process/free-port.ts';
import { dataTemplate, rootPassword, sizes } from './data-template.ts';

/** A private server: `root` by its socket, TCP on 127.0.0.1 only, in a temporary folder. */
export interface MariaDbServer {
  readonly port: number;
  /** Runs SQL as root by Debian's own client and answers what it prints: tabs between values, no headings. */
  sql(text: string): Promise<string>;
  /** Runs SQL on a connection that stays until it is let go. */
  hold(text: string): Promise<{ release(): Promise<void> }>;
  /** One login over TCP with Debian's own client; what the server said, and an empty text when it opened. */
  logIn(user: string, password: string): Promise<string>;
  /** Everything it has logged, its binary log among it. */
  log(): Promise<string>;
  /** Stops it at once and removes its folder. Idempotent. */
  stop(): Promise<void>;
}

export interface MariaDbOptions {
  /** Further options, as on the command line. */
  readonly options?: readonly string[];
  /** Lets it speak TLS with this key, to those who ask. */
  readonly tls?: { readonly privateKeyPem: string; readonly certificatePem: string };
}

const systemUser = 'mysql';

/**
 * Starts a private MariaDB; 0.6 s, and 2 s more the first time in a checkout. It ends with `stop`, or with this process.
 * Ask `requireTarget('mariadb')` first to skip.
 */
export async function startMariaDb({ options = [], tls }: MariaDbOptions = {}): Promise<MariaDbServer> {
  const asUser = userInfo().uid === 0 ? systemUser : null;
  const template = await dataTemplate(asUser);
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-mariadb-'));
  const data = join(folder, 'data');
  await chmod(folder, 0o755);
  const copied = await runChild('cp', ['-a', template, data]);
  if (copied.code !== 0) throw new Error(`cp: ${copied.stderr}`);
  if (asUser !== null) await chown(folder, Number((await runChild('id', ['-u', asUser])).stdout.trim()), 0);
  const write = async (name: string, text: string): Promise<string> => {
    const file = join(folder, name);
    await writeFile(file, text, { mode: 0o600 });
    if (asUser !== null) await runChild('chown', [asUser, file]);
    return file;
  };
  const port = await freePort();
  const socket = join(folder, 'socket');
  const args = [
    '--no-defaults',
    ...(asUser === null ? [] : [`--user=${asUser}`]),
    ...[`--datadir=${data}`, `--socket=${socket}`, `--port=${port}`, '--bind-address=127.0.0.1'],
    ...[`--pid-file=${join(folder, 'pid')}`, '--skip-name-resolve', '--innodb-buffer-pool-size=16M', ...sizes],
    // A test's server never loses power; kill -9 loses nothing either way.
    ...['--innodb-flush-log-at-trx-commit=0', '--sync-binlog=0', '--max-connections=300'],
    ...(tls === undefined
      ? []
      : [
          `--ssl-cert=${await write('cert.pem', tls.certificatePem)}`,
          `--ssl-key=${await write('key.pem', tls.privateKeyPem)}`,
        ]),
    ...options,
  ];
  // The shell waits on stdin, which closes with this process however it ends, and then stops the server by its own
  // pid file and removes the folder.
  const script = '"$@" & cat > /dev/null; kill $(cat "$0/pid") $!; wait; rm -rf "$0"';
  const logHandle = await open(join(folder, 'server.log'), 'a');
  const guard = spawn('sh', ['-c', script, folder, '/usr/sbin/mariadbd', ...args], {
    stdio: ['pipe', 'ignore', logHandle.fd],
  });
  await logHandle.close();

  const asRoot = ['--no-defaults', `--socket=${socket}`, '--user=root', `--password=${rootPassword}`];
  const batch = ['--batch', '--skip-column-names', '--binary-mode', '--default-character-set=utf8mb4'];
  const run = async (text: string) => runChild('mariadb', [...asRoot, ...batch], { input: text });
  const sql = async (text: string): Promise<string> => {
    const done = await run(text);
    if (done.code !== 0) throw new Error(`${done.stderr.trim()} in ${text}`);
    return done.stdout.trim();
  };
  const deadline = performance.now() + 30_000;
  while ((await run('SELECT 1')).code !== 0) {
    if (guard.exitCode !== null || performance.now() > deadline) {
      guard.stdin?.end();
      throw new PamError('PAM_TIMEOUT', 'the private MariaDB did not come up');
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }

  let stopped: Promise<void> | null = null;
  return {
    port,
    sql,
    hold: async (text) => {
      const cleanup = createCleanup();
      const child = startChild(cleanup.later, 'mariadb', [...asRoot, ...batch, '--unbuffered']);
      child.write(`${text}; SELECT 'held';\n`);
      await child.waitForLine(/^held$/);
      return {
        release: async () => {
          child.closeStdin();
          await child.exited;
        },
      };
    },
    logIn: async (user, password) => {
      const way = ['--no-defaults', '--host=127.0.0.1', `--port=${port}`, `--user=${user}`];
      const done = await runChild('mariadb', [...way, ...batch], {
        input: 'SELECT 1',
        env: { MYSQL_PWD: password },
      });
      return done.code === 0 ? '' : done.stderr.trim();
    },
    log: async () => {
      const names = (await readdir(data)).filter((name) => /\.log$|^binlog\.\d+$/.test(name));
      const files = [join(folder, 'server.log'), ...names.map((name) => join(data, name))];
      return (await Promise.all(files.map((file) => readFile(file, 'utf8')))).join('\n');
    },
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
