import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { endingFlags } from './fork-relay.ts';
import type { FromCarriers, ToCarriers } from './carrier-process.ts';
import { readBalancers } from './balancers.ts';
import type { ProcessUsage } from './own-usage.ts';
import { relayClock } from './system-relay-clock.ts';

export interface CarriersOptions {
  readonly tls: { readonly certificatePem: string; readonly privateKeyPem: string };
  /** Address the router listens on. */
  readonly listen: string;
  readonly port: () => number;
  readonly balancers: readonly string[];
  readonly log: (level: 'info' | 'error', message: string, fields: Readonly<Record<string, string | number>>) => void;
}

/** The process for legs inside TLS and WebSocket; there is none until the first comes. */
export interface Carriers {
  /** A socket whose reading has been stopped, and all that was read of it. Closed while the process takes none. */
  take(socket: Socket, early: Uint8Array): void;
  /** Asks the process; `none` while there is none, null when it did not answer within `withinMs`. */
  usage(withinMs: number): Promise<ProcessUsage | 'none' | null>;
  close(): Promise<void>;
}

/** Sockets on their way to the process: a process that hangs must not fill this one's memory and descriptors. */
const onTheWayAtMost = 512;

export function startCarriers(options: CarriersOptions): Carriers {
  let child: ChildProcess | null = null;
  let closing = false;
  let lastId = 0;
  let onTheWay = 0;
  const asked = new Map<number, (usage: ProcessUsage) => void>();

  function running(): ChildProcess {
    if (child !== null) return child;
    const here = import.meta.url;
    const entry = new URL(here.endsWith('.ts') ? './carrier-process.ts' : './carrier-process.mjs', here);
    const made = fork(fileURLToPath(entry), [], {
      execArgv: [...endingFlags],
      env: {},
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child = made;
    onTheWay = 0;
    made.on('message', (message: FromCarriers) => {
      if (message.kind === 'counted') asked.get(message.id)?.(message.usage);
      else if (child === made) onTheWay -= 1;
    });
    made.on('error', (reason) => options.log('error', 'carrier process failed', { error: reason.message }));
    made.once('exit', (code, signal) => {
      child = null;
      // Its legs ended with it; the next leg starts another.
      if (!closing) options.log('error', 'carrier process died', { how: `${signal ?? code}` });
    });
    options.log('info', 'carrier process starts', { pid: made.pid ?? 0 });
    const host = hostOf(options.listen);
    const start: ToCarriers = {
      kind: 'start',
      options: {
        certificatePem: options.tls.certificatePem,
        privateKeyPem: options.tls.privateKeyPem,
        relay: { host, port: options.port() },
        preface: readBalancers(options.balancers).has(host) ? 'PROXY UNKNOWN\r\n' : '',
      },
    };
    made.send(start);
    return made;
  }

  return {
    take: (socket, early) => {
      const process = running();
      if (onTheWay >= onTheWayAtMost) return void socket.destroy();
      onTheWay += 1;
      process.send({ kind: 'tls', early } satisfies ToCarriers, socket);
    },
    usage: async (withinMs) => {
      if (child === null) return 'none';
      const { promise, resolve } = Promise.withResolvers<ProcessUsage | null>();
      const id = ++lastId;
      const cancel = relayClock.after(withinMs, () => resolve(null));
      asked.set(id, resolve);
      if (child.connected) child.send({ kind: 'count', id } satisfies ToCarriers);
      const usage = await promise;
      cancel();
      asked.delete(id);
      return usage;
    },
    close: async () => {
      closing = true;
      const ending = child;
      if (ending === null || ending.exitCode !== null || ending.signalCode !== null) return;
      const ended = new Promise((resolve) => ending.once('exit', resolve));
      ending.kill('SIGKILL');
      await ended;
    },
  };
}

/** Where the port is reached from this host. */
function hostOf(listen: string): string {
  if (listen === '0.0.0.0') return '127.0.0.1';
  return listen === '::' ? '::1' : listen;
}
