import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { writeBundles } from './bundle.ts';

const root = resolve(import.meta.dirname, '..', '..');
const kept = join(root, 'node_modules', '.cache', 'sallyport-programs');
const inputs = ['packages/*/src/**/*.{ts,sql}', 'packages/*/package.json', 'package-lock.json', 'scripts/build/*.ts'];

/** Programs of these may still run, and load a part when they need it. */
const keepMs = 86_400_000;

function forgetOld(): void {
  for (const name of globSync('*', { cwd: kept })) {
    const folder = join(kept, name);
    if (Date.now() - statSync(folder).mtimeMs > keepMs) rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The programs as `npm run build` makes them, for `npm start`, tests and benches: they start in a third of the time that
 * sources take, and they are what is shipped. Built once for each state of the sources.
 *
 * @param onBuild - told before a build, which takes a second or a few.
 * @returns the folder, absolute.
 */
export async function keptBundles(onBuild: () => void = () => undefined): Promise<string> {
  const hash = createHash('sha256').update(process.version);
  for (const file of globSync(inputs, { cwd: root }).toSorted()) {
    hash.update(`\n${file}\n`).update(readFileSync(join(root, file)));
  }
  const folder = join(kept, hash.digest('hex').slice(0, 16));
  if (existsSync(folder)) return folder;
  onBuild();
  forgetOld();
  mkdirSync(kept, { recursive: true });
  const making = mkdtempSync(join(kept, 'making-'));
  await writeBundles(making);
  try {
    renameSync(making, folder);
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    // Another run was there first.
    if (!existsSync(folder)) throw error;
  }
  return folder;
}
