import { join, resolve } from 'node:path';
import { writeFileSync } from 'node:fs';
import { build } from 'rolldown';
import { entryText, launcherText, pluginText, plugins, type Program, programs } from './programs.ts';

const root = resolve(import.meta.dirname, '..', '..');
const executable = 0o755;
/** Never in a bundle: native add-ons, and optional parts of libraries that we do not install. */
const external = [/\.node$/, 'pg-native', 'cpu-features', 'bufferutil', 'utf-8-validate'];

/** What every bundle is made with. */
const manner = {
  cwd: root,
  platform: 'node',
  external,
  treeshake: true,
  logLevel: 'warn',
} as const;

/** Writes NAME, NAME.mjs and lib/NAME of each program, and the plug-ins, into a folder that is there. */
export async function writeBundles(out: string): Promise<void> {
  for (const program of programs) await bundle(program, out);
  for (const [source, name] of Object.entries(plugins)) await bundlePlugin(source, name, out);
}

/** In `node_modules`, where the gateway's `import` of a name looks. */
async function bundlePlugin(source: string, name: string, out: string): Promise<void> {
  const dir = join(out, 'node_modules', name);
  await build({
    ...manner,
    input: { index: source },
    output: {
      dir,
      format: 'esm',
      entryFileNames: '[name].mjs',
      chunkFileNames: 'part-[name]-[hash].mjs',
      minify: false,
    },
  });
  writeFileSync(join(dir, 'package.json'), pluginText(name));
}

async function bundle(program: Program, out: string): Promise<void> {
  await build({
    ...manner,
    input: { ...program.entries },
    output: {
      dir: join(out, 'lib', program.name),
      format: 'esm',
      // Workers are looked for beside the file that starts them: everything lies flat in one folder.
      entryFileNames: '[name].mjs',
      chunkFileNames: 'part-[name]-[hash].mjs',
      minify: false,
    },
  });
  writeFileSync(join(out, `${program.name}.mjs`), entryText(program.name), { mode: executable });
  writeFileSync(join(out, program.name), launcherText(program.name), { mode: executable });
}
