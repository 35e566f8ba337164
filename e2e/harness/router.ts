import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Child, type ChildOptions, freePort, type LabHost, type Later, type Within } from '@sallyport/testkit';
import { nested, startProgram } from './programs.ts';
import { longMs } from './until.ts';

/** A running router process. */
export interface RouterProcess {
  readonly child: Child;
  readonly port: number;
  /** HOST:PORT. */
  readonly address: string;
  /** What the printed `pam setup` line gives as arguments: address and code; null when the router has an owner. */
  readonly setupArgs: readonly string[] | null;
  kill(signal?: NodeJS.Signals): Promise<void>;
}

export interface RouterOptions {
  readonly dataDir: string;
  /** A free one below those that the kernel gives out, unless given: it may be taken again after a death. */
  readonly port?: number;
  readonly args?: readonly string[];
  /** The machine it runs on and listens on; this one's loopback when absent. */
  readonly host?: LabHost | undefined;
  readonly env?: ChildOptions['env'] | undefined;
  /** A limit to run under; inside `host`. */
  readonly within?: Within | undefined;
}

/** Starts `pam-router start` and waits until it says that it is ready. */
export async function startRouter(later: Later, options: RouterOptions): Promise<RouterProcess> {
  const { dataDir, args = [], host } = options;
  // On a machine of its own nobody else asks the kernel for one.
  const port = options.port ?? (host === undefined ? await freePort() : 0);
  const child = startProgram(
    later,
    'pam-router',
    [
      ...['start', '--data-dir', dataDir, '--listen', host?.address ?? '127.0.0.1', '--port', String(port)],
      ...['--exit-with-stdin', '--log-format', 'json', ...args],
    ],
    { within: nested(host?.within, options.within), ...(options.env === undefined ? {} : { env: options.env }) },
  );
  const [, address = ''] = await child.waitForLine(/^sallyport router \S+ ready on (\S+)$/, {
    from: 'stdout',
    withinMs: longMs,
  });
  const setupArgs = isClaimed(dataDir)
    ? null
    : ((await child.waitForLine(/^pam setup (\S+ \S+)$/, { from: 'stdout', withinMs: longMs }))[1]?.split(' ') ?? null);
  return {
    child,
    port: Number(address.slice(address.lastIndexOf(':') + 1)),
    address,
    setupArgs,
    kill: async (signal = 'SIGKILL') => {
      child.kill(signal);
      await child.exited;
    },
  };
}

function isClaimed(dataDir: string): boolean {
  const state: unknown = JSON.parse(readFileSync(join(dataDir, 'router.json'), 'utf8'));
  return typeof state === 'object' && state !== null && 'claimed' in state && state.claimed === true;
}
