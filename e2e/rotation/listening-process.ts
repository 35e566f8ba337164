import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { descendantsOf, isRunning, type Later } from '@sallyport/testkit';
import { until } from '../harness/until.ts';
import type { AccountLab } from './accounts/account-lab.ts';

/** The server that listens on a port of loopback, whoever started it: frozen, killed, and started again as it was. */
export interface ListeningProcess {
  /** Itself and its children, now. */
  pids(): readonly number[];
  /** Who listens there now. */
  listeners(): readonly number[];
  /** Lets all of it go on. */
  thaw(): void;
  /** Starts it again with its own arguments, folder and user, and waits until it accepts. */
  restart(): Promise<void>;
}

const listening = '0A';

type Place = Pick<AccountLab, 'host' | 'port'>;

/** Pids of the processes that listen there, the eldest first: children may share the socket. */
function listenersOf({ host, port }: Place): readonly number[] {
  const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0');
  // The kernel shows an address as the number that it is in memory.
  const address = host.split('.').reduceRight((text, part) => text + hex(Number(part), 2), '');
  const wanted = [address, '00000000'].map((one) => `${one}:${hex(port, 4)}`);
  const inodes = new Set(
    readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local = '', , state]) => wanted.includes(local) && state === listening)
      .map((columns) => `socket:[${columns[9] ?? ''}]`),
  );
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => socketsOf(pid).some((socket) => inodes.has(socket)))
    .sort((a, b) => a - b);
}

function socketsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    // It ended while we looked.
    return [];
  }
}

/** Its parent, and that one's, as far as they are stopped. */
function stoppedAbove(pid: number): readonly number[] {
  const parentOf = (one: number): number =>
    Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${one}/status`, 'utf8'))?.[1]);
  const isStopped = (one: number): boolean => /^State:\s+T/m.test(readFileSync(`/proc/${one}/status`, 'utf8'));
  const stopped: number[] = [];
  for (let one = parentOf(pid); one > 1 && isStopped(one); one = parentOf(one)) stopped.push(one);
  return stopped;
}

export function listeningProcess(
  later: Later,
  { host, port, args: given }: Pick<AccountLab, 'host' | 'port' | 'args'>,
): ListeningProcess {
  const [first] = listenersOf({ host, port });
  if (first === undefined) throw new Error(`nobody listens on ${host}:${port}`);
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
    listeners: () => listenersOf({ host, port }),
    thaw: () => {
      for (const one of pids()) if (isRunning(one)) process.kill(one, 'SIGCONT');
      // `runuser` stops itself when what it started is stopped, and would not notice later that it died.
      for (const one of stoppedAbove(pid)) process.kill(one, 'SIGCONT');
    },
    restart: async () => {
      await until('the target is gone', () => !isRunning(pid));
      // A server looks first whether children of the one before it still live.
      for (let attempt = 0; attempt < 20; attempt += 1) {
        const child = spawn(command, args, { argv0, cwd, env, ...who, stdio: 'ignore' });
        let hasEnded = false;
        const ended = new Promise<void>((resolve) => void child.once('exit', () => resolve()));
        void ended.then(() => (hasEnded = true));
        later(async () => {
          child.kill('SIGKILL');
          await ended;
        });
        pid = child.pid ?? pid;
        // Threads of a killed process may hold its socket after its first one is gone: then those accept, and this one ends.
        const isUp = async (): Promise<boolean> =>
          (await isOpen(host, port)) && listenersOf({ host, port }).includes(pid);
        if ((await until(`port ${port} accepts`, async () => hasEnded || (await isUp()))) && !hasEnded) return;
        await pause(100);
      }
      throw new Error(`${command} did not start again`);
    },
  };
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
