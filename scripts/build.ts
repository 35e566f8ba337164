// npm run build [-- --out DIR] [--with-node]
//
// DIR (default dist/) then holds pam, pam-gateway and pam-router, each to be carried to another host with Node 24:
//   NAME           what one runs           NAME.mjs       the same for who wants to name the Node
//   lib/NAME/      the bundle: entry, workers, parts that are loaded when needed
//   node_modules/  plug-ins for pam-gateway, loaded by --plugin NAME
//   node           only with --with-node: this Node, for hosts that have none
//   VERSION, LICENSE, SHA256SUMS (check with: sha256sum -c SHA256SUMS)
import { createHash } from 'node:crypto';
import { copyFileSync, globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { productVersion } from '@sallyport/protocol';
import { writeBundles } from './build/bundle.ts';
import { programs } from './build/programs.ts';

const root = resolve(import.meta.dirname, '..');
function writeSums(out: string): void {
  const files = globSync('**/*', { cwd: out }).filter((file) => statSync(join(out, file)).isFile());
  const lines = files.toSorted().map((file) => {
    const sum = createHash('sha256')
      .update(readFileSync(join(out, file)))
      .digest('hex');
    return `${sum}  ${file}\n`;
  });
  writeFileSync(join(out, 'SHA256SUMS'), lines.join(''));
}

const { values: flags } = parseArgs({
  options: { out: { type: 'string', default: join(root, 'dist') }, 'with-node': { type: 'boolean', default: false } },
});
const out = resolve(flags.out);
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await writeBundles(out);
if (flags['with-node']) copyFileSync(process.execPath, join(out, 'node'));
writeFileSync(join(out, 'VERSION'), `${productVersion}\n`);
copyFileSync(join(root, 'LICENSE'), join(out, 'LICENSE'));
writeSums(out);
process.stdout.write(`${programs.map(({ name }) => relative(process.cwd(), join(out, name))).join('\n')}\n`);
