import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { ToCarriers } from './carrier-process.ts';
import { readBalancers } from './balancers.ts';

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
  /** A socket whose reading has been stopped, and all that was read of it. */
  take(socket: Socket, early: Uint8Array): void;
  close(): Promise<void>;
}

export function startCarriers(options: CarriersOptions): Carriers {
  let child: ChildProcess | null = null;
  let closing = false;

  function running(): ChildProcess {
    if (child !== null) return child;
    const here = import.meta.url;
    const entry = new URL(here.endsWith('.ts') ? './carrier-process.ts' : './carrier-process.mjs', here);
    const made = fork(fileURLToPath(entry), [], {
      env: {},
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child = made;
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
      running().send({ kind: 'tls', early } satisfies ToCarriers, socket);
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
