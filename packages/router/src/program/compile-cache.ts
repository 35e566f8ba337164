import { statSync } from 'node:fs';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { join, resolve } from 'node:path';

/**
 * Compiled code, kept from one start to the next in DATA/compile-cache, so that a router that was killed is back sooner.
 * What lies there is executed: it is used only in a folder that nobody but this user may write, and whoever may write
 * there owns the router anyway. A first start has no such folder yet and goes without.
 *
 * @returns the folder, for threads and processes of this program; null when there is none.
 */
export function openCompileCache(argv: readonly string[], env: NodeJS.ProcessEnv): string | null {
  const dataDir = resolve(dataDirOf(argv, env));
  if (!isOursAlone(dataDir)) return null;
  const folder = join(dataDir, 'compile-cache');
  return enableCompileCache(folder).directory === undefined ? null : folder;
}

/** Writes down what was compiled; a program that is killed writes nothing. */
export function keepCompiled(): void {
  flushCompileCache();
}

/** Before anything is parsed: a `--config` file that names another folder only costs the time that this saves. */
function dataDirOf(argv: readonly string[], env: NodeJS.ProcessEnv): string {
  const at = argv.findLastIndex((arg) => arg === '--data-dir' || arg.startsWith('--data-dir='));
  const flag = argv[at]?.includes('=') === true ? argv[at].slice('--data-dir='.length) : argv[at + 1];
  return (at < 0 ? undefined : flag) ?? env['SALLYPORT_DATA_DIR'] ?? './.sallyport';
}

function isOursAlone(folder: string): boolean {
  const stat = statSync(folder, { throwIfNoEntry: false });
  return stat?.isDirectory() === true && stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0;
}
