import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Within } from '../process/child.ts';
import type { Later } from '../process/cleanup.ts';
import type { TargetPresence } from '../target/require-target.ts';
import { missingTargets } from '../target-list.ts';
import { type LabOwner, leftovers, namespaceName } from './lab-name.ts';
import { hostInterface, type PacketFault, rulesetOf } from './packet-faults.ts';

/** One machine of a lab: a network namespace with an address of its own and its own loopback. */
export interface LabHost {
  readonly name: string;
  /** IPv4, reachable from every other host of the lab. */
  readonly address: string;
  /** Runs a program there, for `ChildOptions.within`. Its pid is that of the program itself: signals reach it. */
  readonly within: Within;
  /** Puts exactly these faults in force, in place of all before; none heals. In force when it returns. */
  setFaults(faults: readonly PacketFault[]): void;
  /** Resets every TCP connection of the host with another, as a balancer that restarts does; both ends are told. */
  resetConnections(): void;
  /** Processes that run there now. */
  pids(): readonly number[];
}

/** Hosts on one switch, connected to nothing else: nothing leaves the machine. */
export interface NetworkLab {
  /** @throws when there is none of this name. */
  host(name: string): LabHost;
}

const folder = '/run/netns';
const subnet = '10.77.0';
/** Longest a command of the lab may take on a busy machine. */
const commandMs = 60_000;
let labs = 0;

/**
 * Whether there can be a lab here, for `test.skipIf`; a missing one is said on one line. It wants root, the right to make
 * namespaces, `ip` and `nft`.
 *
 * @throws with `CI=true` when a program is missing, as for any other of `debian-packages.json`; never for a missing right.
 */
export function requireNetworkLab(): TargetPresence {
  const reason = whyNoNetworkLab(process.env);
  if (reason !== null) console.info(`tests in a network lab are skipped: ${reason}`);
  return { isMissing: reason !== null, reason: reason ?? '' };
}

function whyNoNetworkLab(env: NodeJS.ProcessEnv): string | null {
  const missing = missingTargets().find(({ name }) => name === 'ip' || name === 'nft');
  if (missing !== undefined) {
    const reason = `${missing.probe} is missing (Debian: ${missing.packages.join(' ')})`;
    if (env['CI'] === 'true') throw new Error(`${reason}; with CI=true every target must be there`);
    return reason;
  }
  if (process.getuid?.() !== 0) return 'network namespaces want root';
  try {
    run('unshare', ['--net', 'nft', 'add', 'table', 'inet', 'sallyport']);
    return null;
  } catch (reason) {
    return `network namespaces with nft rules are not permitted here: ${lastLine(reason)}`;
  }
}

function lastLine(reason: unknown): string {
  return (reason instanceof Error ? reason.message : String(reason)).trim().split('\n').at(-1) ?? '';
}

function run(command: string, args: readonly string[], input = ''): string {
  return execFileSync(command, args, { input, encoding: 'utf8', timeout: commandMs, stdio: 'pipe' });
}

/**
 * Makes the hosts and connects them. They are gone when `later` runs, and also when this process is killed: a guard
 * waits for the end of its standard input. Should the guard be killed with it, the next lab sweeps them.
 */
export function startNetworkLab(later: Later, names: readonly string[]): NetworkLab {
  sweepLabs();
  labs += 1;
  const owner: LabOwner = { pid: process.pid, start: startOf(process.pid) ?? '' };
  const nameOf = (host: string): string => namespaceName(owner, labs, host);
  const switchName = nameOf('switch');
  const all = [switchName, ...names.map(nameOf)];
  guard(later, all);
  connect(switchName, all.slice(1));
  const hosts = new Map(names.map((name, n) => [name, hostOf(name, nameOf(name), addressOf(n))]));
  return {
    host: (name) => {
      const host = hosts.get(name);
      if (host === undefined) throw new Error(`the lab has no host ${name}`);
      return host;
    },
  };
}

const addressOf = (n: number): string => `${subnet}.${n + 1}`;

function connect(switchName: string, hosts: readonly string[]): void {
  run('ip', ['-batch', '-'], [switchName, ...hosts].map((name) => `netns add ${name}\n`).join(''));
  run('ip', ['-n', switchName, 'link', 'add', 'bridge', 'type', 'bridge']);
  run('ip', ['-n', switchName, 'link', 'set', 'bridge', 'up']);
  hosts.forEach((host, n) => {
    // Both ends are born in their namespaces, so that their names meet no others.
    const port = `port${n}`;
    run('ip', ['link', 'add', port, 'netns', switchName, 'type', 'veth', 'peer', 'name', hostInterface, 'netns', host]);
    run('ip', ['-n', switchName, 'link', 'set', port, 'master', 'bridge', 'up']);
    const lines = [
      'link set lo up',
      `addr add ${addressOf(n)}/24 dev ${hostInterface}`,
      `link set ${hostInterface} up`,
    ];
    run('ip', ['-n', host, '-batch', '-'], `${lines.join('\n')}\n`);
  });
}

function hostOf(name: string, namespace: string, address: string): LabHost {
  const enter = [`--net=${folder}/${namespace}`, '--'];
  return {
    name,
    address,
    within: (command, args) => ['nsenter', [...enter, command, ...args]],
    setFaults: (faults) => {
      run('nsenter', [...enter, 'nft', '-f', '-'], rulesetOf(faults));
    },
    pids: () => run('ip', ['netns', 'pids', namespace]).split('\n').filter(Boolean).map(Number),
    resetConnections: () => {
      run('nsenter', [...enter, 'ss', '--kill', '--tcp', 'dst', `${subnet}.0/24`]);
    },
  };
}

const removal = `
for name in "$@"; do
  for pid in $(ip netns pids "$name" 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done
  ip netns delete "$name" 2>/dev/null
done`;

/** Removes the namespaces, and whatever still runs in them, once this process is gone or `later` runs. */
function guard(later: Later, namespaces: readonly string[]): void {
  const child = spawn('sh', ['-c', `cat > /dev/null; ${removal}`, 'sh', ...namespaces], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Ctrl-C goes to the whole group: the guard must outlive it.
    detached: true,
  });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.unref();
  later(async () => {
    child.ref();
    child.stdin.end();
    await gone;
  });
}

/** Removes what dead processes left behind. */
export function sweepLabs(): void {
  if (!existsSync(folder)) return;
  const left = leftovers(readdirSync(folder), startOf);
  if (left.length > 0) run('sh', ['-c', `${removal}; true`, 'sh', ...left]);
}

/** When a process began, in clock ticks since boot; null when there is none. */
function startOf(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state = '', ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? null : (fields[18] ?? null);
  } catch (reason) {
    const code = reason instanceof Error && 'code' in reason ? reason.code : '';
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw reason;
  }
}
