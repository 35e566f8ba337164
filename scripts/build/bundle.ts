import { join, resolve } from 'node:path';
import { writeFileSync } from 'node:fs';
import { build } from 'rolldown';
import { entryText, launcherText, type Program, programs } from './programs.ts';

const root = resolve(import.meta.dirname, '..', '..');
const executable = 0o755;
/** Never in a bundle: native add-ons, and optional parts of libraries that we do not install. */
const external = [/\.node$/, 'pg-native', 'cpu-features', 'bufferutil', 'utf-8-validate'];

/** Writes NAME, NAME.mjs and lib/NAME of each program into a folder that is there. */
export async function writeBundles(out: string): Promise<void> {
  for (const program of programs) await bundle(program, out);
}

async function bundle(program: Program, out: string): Promise<void> {
  await build({
    cwd: root,
    input: { ...program.entries },
    platform: 'node',
    external,
    treeshake: true,
    output: {
      dir: join(out, 'lib', program.name),
      format: 'esm',
      // Workers are looked for beside the file that starts them: everything lies flat in one folder.
      entryFileNames: '[name].mjs',
      chunkFileNames: 'part-[name]-[hash].mjs',
      minify: false,
    },
    logLevel: 'warn',
  });
  writeFileSync(join(out, `${program.name}.mjs`), entryText(program.name), { mode: executable });
  writeFileSync(join(out, program.name), launcherText(program.name), { mode: executable });
}
