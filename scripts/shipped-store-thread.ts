import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Plugin } from 'vitest/config';

/** The module that starts the store's thread, from the root of the checkout. */
export const starter = 'packages/router/src/store/start-worker.ts';

/**
 * Tests run the store's thread as it is built and shipped, not from its sources (`provide-programs.ts` built it before
 * any test is read).
 *
 * From sources each such thread strips types, which Node does in WebAssembly. V8 13.6 (Node 24) keeps the wrappers of
 * WebAssembly imports in one cache for all threads: while those of a thread that has ended are being freed, another one
 * can be given the same; they are freed twice then, and the process dies of a signal. A test file opens stores again
 * and again, a thread each. What is shipped has no WebAssembly in that thread (docs/adr/0001-runtime.md).
 */
export function shippedStoreThread(): Plugin {
  return {
    name: 'shipped-store-thread',
    enforce: 'pre',
    transform: (code, id) =>
      id.endsWith(`/${starter}`) ? { code: asInBundle(code, process.env['SALLYPORT_TEST_PROGRAMS']), map: null } : null,
  };
}

/**
 * `starter`, told that it lies in the bundle of the router.
 *
 * @param programs - folder of the built programs.
 * @throws when they are not built, or the module does not ask where it lies: tests would run the sources unnoticed.
 */
export function asInBundle(code: string, programs: string | undefined): string {
  if (programs === undefined) throw new Error('the programs are not built yet');
  const there = pathToFileURL(join(programs, 'lib', 'pam-router', 'start-worker.mjs')).href;
  const told = code.replaceAll('import.meta.url', JSON.stringify(there));
  if (told === code) throw new Error(`${starter} does not ask where it lies any more`);
  return told;
}
