import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeServerKey } from '../ldap/server-key.ts';
import { runChild, startChild } from '../process/child.ts';
import type { Later } from '../process/cleanup.ts';
import { freePort } from '../process/free-port.ts';
import { tempDir } from '../process/temp-dir.ts';

/** A real Redis of this test's own, on loopback, with TLS; `default` is switched off. */
export interface RedisServer {
  readonly host: string;
  /** TLS. */
  readonly port: number;
  /** Without TLS. */
  readonly plainPort: number;
  readonly keyFile: string;
  readonly certificateFile: string;
  /** Runs commands, one an array, as a user who may do everything; what redis-cli prints of each. */
  run(...commands: readonly (readonly string[])[]): Promise<string>;
  /** Logins so far, good and bad, without those of this object. */
  logins(): Promise<number>;
  /** Everything it has logged, every command as `MONITOR` and the slow log tell it, and refusals. */
  log(): Promise<string>;
  /** Users cannot be saved until the answer is called. */
  blockSaving(): () => void;
  /** Kills it, and starts it with what it kept. */
  restart(): Promise<void>;
}

export interface RedisOptions {
  /** Where users are kept: a file of their own, the configuration file, or neither. Default: `aclfile`. */
  readonly keeps?: 'aclfile' | 'config' | 'nothing';
}

const root = { login: 'lab-root', password: 'root-of-the-lab' };
const rootRules = `on >${root.password} ~* &* +@all`;

export async function startRedis(later: Later, { keeps = 'aclfile' }: RedisOptions = {}): Promise<RedisServer> {
  const folder = tempDir(later);
  await makeServerKey(folder, 'localhost', '127.0.0.1');
  const users = join(folder, 'users');
  mkdirSync(users);
  const [keyFile, certificateFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const [port, plainPort] = [await freePort(), await freePort()];
  const settings: readonly (readonly string[])[] = [
    ['bind', '127.0.0.1'],
    ['port', String(plainPort)],
    ['tls-port', String(port)],
    ['tls-cert-file', certificateFile],
    ['tls-key-file', keyFile],
    ['tls-auth-clients', 'no'],
    ['dir', folder],
    ['save', ''],
    // Its command line stays as it was, for who starts it again.
    ['set-proc-title', 'no'],
    ['loglevel', 'debug'],
    ['slowlog-log-slower-than', '0'],
    ...(keeps === 'aclfile' ? [['aclfile', join(users, 'users.acl')]] : []),
    ...(keeps === 'config' ? [['user', root.login, ...rootRules.split(' ')]] : []),
  ];
  const config = join(folder, 'redis.conf');
  writeFileSync(config, settings.map(([name, ...values]) => `${name} ${values.join(' ') || '""'}\n`).join(''));
  if (keeps === 'aclfile')
    writeFileSync(join(users, 'users.acl'), `user default off\nuser ${root.login} ${rootRules}\n`);
  const args = keeps === 'nothing' ? settings.flatMap(([name, ...values]) => [`--${name}`, ...values]) : [config];
  const start = async () => {
    const child = startChild(later, '/usr/bin/redis-server', args);
    await child.waitForLine(/Ready to accept connections/);
    return child;
  };
  let child = await start();
  const earlier: string[] = [];
  let marks = 0;
  /** Its own logins, one for each start of redis-cli. */
  let own = 0;
  const asRoot = ['-p', String(plainPort), '--user', root.login];
  const env = { REDISCLI_AUTH: root.password };
  const quoted = (part: string): string => `"${part.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n')}"`;
  const textOf = (commands: readonly (readonly string[])[]): string =>
    commands.map((command) => `${command.map(quoted).join(' ')}\n`).join('');
  if (keeps === 'nothing') {
    const input = textOf([
      ['ACL', 'SETUSER', root.login, ...rootRules.split(' ')],
      ['ACL', 'SETUSER', 'default', 'off'],
    ]);
    await runChild('/usr/bin/redis-cli', ['-p', String(plainPort)], { input });
  }
  const run = async (...commands: readonly (readonly string[])[]): Promise<string> => {
    own += 1;
    const { code, stdout, stderr } = await runChild('/usr/bin/redis-cli', asRoot, { env, input: textOf(commands) });
    if (code !== 0) throw new Error(`redis-cli: ${stderr}`);
    return stdout;
  };
  if (keeps === 'config') await run(['ACL', 'SETUSER', 'default', 'off'], ['CONFIG', 'REWRITE']);
  own += 1;
  const monitor = startChild(later, '/usr/bin/redis-cli', [...asRoot, 'MONITOR'], { env });
  await monitor.waitForLine(/^OK$/);
  return {
    host: '127.0.0.1',
    ...{ port, plainPort, keyFile, certificateFile },
    run,
    logins: async () => {
      const calls = /^cmdstat_auth:calls=(\d+)/m.exec(await run(['INFO', 'commandstats']))?.[1];
      return Number(calls) - own;
    },
    log: async () => {
      marks += 1;
      const told = await run(['ECHO', `mark ${marks}`], ['SLOWLOG', 'GET', '-1'], ['ACL', 'LOG']);
      await monitor.waitForLine(new RegExp(`"ECHO" "mark ${marks}"`));
      return [...earlier, child.stdout(), monitor.stdout(), told].join('\n');
    },
    blockSaving: () => {
      renameSync(users, `${users}.away`);
      return () => renameSync(`${users}.away`, users);
    },
    restart: async () => {
      child.kill('SIGKILL');
      await child.exited;
      earlier.push(child.stdout());
      child = await start();
    },
  };
}
