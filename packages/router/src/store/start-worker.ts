import { Worker } from 'node:worker_threads';

/** The worker's file beside this one: `.ts` from source, `.mjs` in `dist`. */
function workerUrl(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './sqlite-worker.ts' : './sqlite-worker.mjs', import.meta.url);
}

/**
 * Starts the thread that will own the store's file; it opens nothing before it is told which. Imports nothing that takes
 * time: it is early.
 *
 * @param compileCache - folder of compiled code (compile-cache.ts); null for none.
 */
export function startStoreWorker(compileCache: string | null): Worker {
  const env = compileCache === null ? {} : { env: { ...process.env, NODE_COMPILE_CACHE: compileCache } };
  return new Worker(workerUrl(), { execArgv: [], name: 'store', ...env });
}
