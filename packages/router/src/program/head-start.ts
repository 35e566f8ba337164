import type { ChildProcess } from 'node:child_process';
import type { Worker } from 'node:worker_threads';
import { forkRelay } from '../relay/fork-relay.ts';
import { startStoreWorker } from '../store/start-worker.ts';
import { openCompileCache } from './compile-cache.ts';

/**
 * What a router that starts needs from the first moment on and that knows of no setting: the relay process and the
 * store's thread load their code while this one loads its own. Everything imported here is small.
 */
export interface HeadStart {
  /** Each is given away once; null when it was, or died meanwhile. */
  takeRelay(): ChildProcess | null;
  takeStore(): Worker | null;
  /** Ends what nobody took. */
  drop(): void;
}

export function takeHeadStart(argv: readonly string[], env: NodeJS.ProcessEnv): HeadStart {
  const compileCache = openCompileCache(argv, env);
  let relay: ChildProcess | null = forkRelay({ compileCache });
  let store: Worker | null = startStoreWorker(compileCache);
  // Whoever takes over starts another, and hears of what ails it.
  const loseRelay = (): void => void (relay = null);
  const loseStore = (): void => void (store = null);
  relay.once('error', loseRelay).once('exit', loseRelay);
  store.once('error', loseStore).once('exit', loseStore);
  const takeRelay = (): ChildProcess | null => {
    const taken = relay;
    relay = null;
    return taken?.off('error', loseRelay).off('exit', loseRelay) ?? null;
  };
  const takeStore = (): Worker | null => {
    const taken = store;
    store = null;
    return taken?.off('error', loseStore).off('exit', loseStore) ?? null;
  };
  return {
    takeRelay,
    takeStore,
    drop: () => {
      takeRelay()?.kill('SIGKILL');
      void takeStore()?.terminate();
    },
  };
}
