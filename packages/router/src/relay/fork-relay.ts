import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

interface RelayFork {
  /** The forked module; by default the one beside this file, or beside the bundle. */
  readonly entry?: URL | undefined;
  readonly execArgv?: readonly string[] | undefined;
  /** Folder of compiled code (compile-cache.ts); null for none. */
  readonly compileCache?: string | null | undefined;
}

/** `relay-process.ts` beside this file when run from source, `relay-process.mjs` beside the bundle. */
function relayEntry(here: string): URL {
  return new URL(here.endsWith('.ts') ? './relay-process.ts' : './relay-process.mjs', here);
}

/**
 * Node's flags for processes that this router forks: no code is made in threads that `process.exit()` waits for, so that
 * one which ends does not keep its port (ADR 1).
 */
export const endingFlags = ['--no-maglev-build-code-on-background', '--no-concurrent-sparkplug'] as const;

/** Forks a relay process, which does nothing before it is sent `start`. Imports nothing that takes time: it is early. */
export function forkRelay({ entry, execArgv, compileCache }: RelayFork): ChildProcess {
  return fork(fileURLToPath(entry ?? relayEntry(import.meta.url)), [], {
    execArgv: [...endingFlags, ...(execArgv ?? [])],
    // No secret of the router reaches the process that strangers talk to.
    env: compileCache === undefined || compileCache === null ? {} : { NODE_COMPILE_CACHE: compileCache },
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}
