import { readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { Secret, type Credential, type KindAccount, type KindTarget } from '@sallyport/rotation';
import { makeKeyPair } from '../../src/kind/index.ts';
import {
  type Child,
  type HeldWrite,
  type KindLogin,
  type KindServer,
  type Later,
  type LinuxHost,
  startChild,
  startLinuxHost,
} from '@sallyport/testkit';

export const accountOf = (login: string): KindAccount => ({
  login,
  distinguishedName: null,
  database: null,
  custom: {},
});

export const password = (text: string): Credential => ({ kind: 'password', password: new Secret(text) });

export const targetOf = (host: string, port: number): KindTarget => ({
  ...{ host, port, identity: null, useTls: false, recordType: 'pamMachine', databaseType: null },
  ...{ directoryType: null, domain: null, replicas: [], custom: {} },
});

let made = 0;
const fresh = (): string => `Kx7-${(made += 1)}-"quo'te\\ %s $(id) \`id\` ü`;

/** What a server of SSH may say that is a lie. */
export const sshLies: Readonly<Record<string, Uint8Array>> = {
  'a greeting of SSH and nothing more': Buffer.from('SSH-2.0-liar\r\n'),
  'a packet of 2 GiB': Buffer.concat([Buffer.from('SSH-2.0-liar\r\n'), Buffer.from('7fffffff0a14', 'hex')]),
  'a key exchange without content': Buffer.concat([
    Buffer.from('SSH-2.0-liar\r\n'),
    Buffer.from('0000000c0a1400000000000000000000', 'hex'),
  ]),
  'an old protocol': Buffer.from('SSH-1.5-liar\r\n'),
};

/** Policy that holds for root as well, so that an administrator can be refused: Debian's own is for users only. */
const pamPassword = `password requisite pam_pwquality.so retry=3 minlen=9 dictcheck=0 usercheck=0 enforce_for_root
password [success=1 default=ignore] pam_unix.so obscure use_authtok try_first_pass yescrypt rounds=1
password requisite pam_deny.so
password required pam_permit.so
`;

/** A host with an administrator who has sudo (with a password), one who has it without, and one who has none. */
export async function startLinuxLab(later: Later): Promise<LinuxHost> {
  const host = await startLinuxHost(later, {
    sudoers: ['asks ALL=(ALL) ALL', 'admin ALL=(ALL) NOPASSWD: ALL', 'Defaults lecture=always'],
  });
  await host.run('tee', ['/etc/pam.d/common-password'], pamPassword);
  // The message of the day runs programs at each login.
  await host.run('sed', ['-i', '/pam_motd/d', '/etc/pam.d/sshd']);
  // A wrong password is otherwise answered after some 2 s.
  await host.run('sed', ['-i', 's/pam_unix.so nullok/& nodelay/', '/etc/pam.d/common-auth']);
  for (const login of ['asks', 'admin', 'powerless']) await host.addAccount(login, `${login}-Pass-1`);
  return host;
}

/** Everything that sshd has written before now: a connection of ours is the last that it speaks of. */
export async function logSoFar(host: LinuxHost): Promise<string> {
  const socket = connect({ host: host.host, port: host.port });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const port = socket.localPort;
  socket.end('no ssh\r\n').resume();
  const told = new RegExp(`port ${port}: (?:invalid|could not)|port ${port}.*Bad protocol`);
  for (let turn = 0; turn < 3_000 && !told.test(host.log()); turn += 1) await new Promise((r) => setTimeout(r, 10));
  socket.destroy();
  return host.log();
}

/** Holds the lock of the password files, so that whoever changes a password waits for it. */
async function holdPasswords(later: Later, host: LinuxHost, target: KindTarget): Promise<HeldWrite> {
  // struct flock of Linux on 64 bits: l_type, l_whence, l_start, l_len, l_pid.
  const lock = 'pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0)';
  const script = `use Fcntl; open(F, ">>", $ARGV[0]) or die; my $lock = ${lock}; fcntl(F, F_SETLK, $lock) or die "$!"; $| = 1; print "held\\n"; <STDIN>`;
  const file = host.pathOf('/etc/.pwd.lock');
  const child = startChild(later, 'perl', ['-e', script, file]);
  await child.waitForLine(/^held$/);
  return { target, passes: false, waiting: () => whenLocked(file, '-> POSIX'), release: () => letGo(child) };
}

/** Few, because each is an account made, changed and tried; together they mean something to a shell, to printf and to a glob. */
const namesThatMeanSomething = ['o\'b"r$(id)`id`', 'sp ace;id*', '%s\\nü'];

/** Holds the lock that a change of the account's keys takes: on its folder. */
async function holdKeys(later: Later, host: LinuxHost, target: KindTarget, { login }: KindAccount): Promise<HeldWrite> {
  const folder = host.pathOf(`/home/${login}/.ssh`);
  const child = startChild(later, 'flock', ['--close', folder, 'sh', '-c', 'echo held; cat']);
  await child.waitForLine(/^held$/);
  return { target, passes: false, waiting: () => whenLocked(folder, '-> FLOCK'), release: () => letGo(child) };
}

async function letGo(child: Child): Promise<void> {
  child.closeStdin();
  await child.exited;
}

/** Resolves when somebody waits for a lock of a file. */
async function whenLocked(file: string, kind: string): Promise<void> {
  const { ino } = statSync(file);
  const isWaiting = (): boolean =>
    readFileSync('/proc/locks', 'utf8')
      .split('\n')
      .some((line) => line.includes(kind) && line.includes(`:${ino} `));
  for (let turn = 0; turn < 6_000 && !isWaiting(); turn += 1) await new Promise((r) => setTimeout(r, 10));
  if (!isWaiting()) throw new Error(`nobody waits for ${file}`);
}

/** Accounts in lots of 16: one by one they were a third of the time of a file. */
function accountsAtOnce(host: LinuxHost): () => Promise<KindLogin> {
  const ready: { readonly login: string; readonly text: string }[] = [];
  let accounts = 0;
  return async () => {
    if (ready.length === 0) {
      const lot = Array.from({ length: 16 }, () => ({ login: `user${(accounts += 1)}`, text: fresh() }));
      await host.run(
        'newusers',
        [],
        lot.map(({ login, text }) => `${login}:${text}::::/home/${login}:/bin/sh\n`).join(''),
      );
      ready.push(...lot);
    }
    const next = ready.shift();
    if (next === undefined) throw new Error('no account was made');
    return { account: accountOf(next.login), credential: password(next.text) };
  };
}

/** The host as the compliance suite wants one for keys. */
export function keyServer(later: Later, host: LinuxHost, admin: KindLogin): KindServer {
  const target = targetOf(host.host, host.port);
  const { weak: _, expire: __, ...rest } = passwordServer(later, host, admin);
  return {
    ...rest,
    async makeAccount(login) {
      const { account } = await rest.makeAccount(login);
      const home = `/home/${account.login}`;
      const key = makeKeyPair();
      const script = `set -e; mkdir -p -m 700 "$1/.ssh"; cat > "$1/.ssh/authorized_keys"; chmod 600 "$1/.ssh/authorized_keys"; chown -R "$2:" "$1/.ssh"`;
      await host.run(
        'sh',
        ['-c', script, 'keys', home, account.login],
        `# by hand\n${key.publicKey} ${account.login}@work\n`,
      );
      return { account, credential: key };
    },
    nextCredential: makeKeyPair,
    async readOnly() {
      await host.run('mount', ['-o', 'remount,bind,ro', '/home']);
      return async () => void (await host.run('mount', ['-o', 'remount,bind,rw', '/home']));
    },
    hold: (account) => holdKeys(later, host, target, account),
  };
}

/** The host as the compliance suite wants one for passwords. */
export function passwordServer(later: Later, host: LinuxHost, admin: KindLogin): KindServer {
  const target = targetOf(host.host, host.port);
  const known = new Set<string>();
  const nextAccount = accountsAtOnce(host);
  return {
    target,
    admin,
    async makeAccount(login) {
      const text = fresh();
      if (login === undefined) return nextAccount();
      if (known.has(login)) await host.run('chpasswd', [], `${login}:${text}\n`);
      else await host.addAccount(login, text);
      known.add(login);
      return { account: accountOf(login), credential: password(text) };
    },
    nextCredential: () => password(fresh()),
    async attempts({ login }) {
      const lines = (await logSoFar(host)).split('\n');
      const isLogin =
        /^(?:Accepted|Failed) (?:password|publickey|keyboard-interactive\/pam) for (?:invalid user )?(.*) from /;
      return lines.filter((line) => isLogin.exec(line)?.[1] === login).length;
    },
    async expire({ login }) {
      await host.run('passwd', ['--expire', login]);
    },
    weak: async () => password('abc1'),
    powerless: async () => ({ account: accountOf('powerless'), credential: password('powerless-Pass-1') }),
    missing: async () => accountOf('nobody-has-this-name'),
    async readOnly() {
      await host.run('mount', ['-o', 'remount,bind,ro', '/etc']);
      return async () => void (await host.run('mount', ['-o', 'remount,bind,rw', '/etc']));
    },
    hold: () => holdPasswords(later, host, target),
    log: () => logSoFar(host),
    hostileLogins: () => namesThatMeanSomething,
  };
}
