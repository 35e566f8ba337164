import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { descendantsOf, isRunning, type Later } from '@sallyport/testkit';
import { until } from '../harness/until.ts';
import type { AccountLab } from './accounts/account-lab.ts';

/** The server that listens on a port of loopback, whoever started it: frozen, killed, and started again as it was. */
export interface ListeningProcess {
  /** Itself and its children, now. */
  pids(): readonly number[];
  /** Who listens on the port now; null: nobody. */
  listener(): number | null;
  /** Lets all of it go on. */
  thaw(): void;
  /** Starts it again with its own arguments, folder and user, and waits until it accepts. */
  restart(): Promise<void>;
}

const listening = '0A';

/** Pid of the process that listens on PORT, the eldest where children share the socket; null: nobody does. */
function listenerOf(port: number): number | null {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = new Set(
    readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local = '', , state]) => local.endsWith(wanted) && state === listening)
      .map((columns) => `socket:[${columns[9] ?? ''}]`),
  );
  const holders = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => socketsOf(pid).some((socket) => inodes.has(socket)));
  const [eldest] = holders.sort((a, b) => a - b);
  return eldest ?? null;
}

function socketsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    // It ended while we looked.
    return [];
  }
}

export function listeningProcess(
  later: Later,
  { host, port, args: given }: Pick<AccountLab, 'host' | 'port' | 'args'>,
): ListeningProcess {
  const first = listenerOf(port);
  if (first === null) throw new Error(`nobody listens on port ${port}`);
  let pid = first;
  const read = (name: string): readonly string[] =>
    readFileSync(`/proc/${pid}/${name}`, 'utf8')
      .split('\0')
      .filter((part) => part !== '');
  const command = readlinkSync(`/proc/${pid}/exe`);
  // Some programs are several, by the name that they are called.
  const [argv0 = command, ...args] = given === undefined ? read('cmdline') : [command, ...given];
  const cwd = readlinkSync(`/proc/${pid}/cwd`);
  const environment = Object.fromEntries(read('environ').map((pair) => pair.split(/=(.*)/s).slice(0, 2)));
  // Where the command line is written over, so is this.
  const env = given === undefined ? environment : process.env;
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const idOf = (name: 'Uid' | 'Gid'): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  const who = { uid: idOf('Uid'), gid: idOf('Gid') };
  const pids = (): readonly number[] => [pid, ...descendantsOf(pid)];
  return {
    pids,
    listener: () => listenerOf(port),
    thaw: () => {
      for (const one of pids()) if (isRunning(one)) process.kill(one, 'SIGCONT');
    },
    restart: async () => {
      await until('the target is gone', () => !isRunning(pid));
      // A server looks first whether children of the one before it still live.
      for (let attempt = 0; attempt < 20; attempt += 1) {
        const child = spawn(command, args, { argv0, cwd, env, ...who, stdio: 'ignore' });
        const ended = new Promise<'ended'>((resolve) => void child.once('exit', () => resolve('ended')));
        later(async () => {
          child.kill('SIGKILL');
          await ended;
        });
        pid = child.pid ?? pid;
        if ((await Promise.race([ended, accepts(host, port)])) === 'accepts') return;
      }
      throw new Error(`${command} did not start again`);
    },
  };
}

async function accepts(host: string, port: number): Promise<'accepts'> {
  await until(`port ${port} accepts`, () => isOpen(host, port));
  return 'accepts';
}

function isOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
