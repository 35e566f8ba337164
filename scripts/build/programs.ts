import { productVersion } from '@sallyport/protocol';

/** A program that is shipped: its entry, and what it runs as threads or processes of its own. */
export interface Program {
  readonly name: string;
  /** Output name → source, relative to the checkout. `main` exports `main(argv)`. */
  readonly entries: Readonly<Record<string, string>>;
}

export const programs: readonly Program[] = [
  { name: 'pam', entries: { main: 'packages/cli/src/main.ts' } },
  { name: 'pam-gateway', entries: { main: 'packages/gateway/src/main.ts' } },
  {
    name: 'pam-router',
    entries: {
      main: 'packages/router/src/main.ts',
      'carrier-process': 'packages/router/src/relay/carrier-process.ts',
      'relay-process': 'packages/router/src/relay/relay-process.ts',
      'sqlite-worker': 'packages/router/src/store/sqlite-worker.ts',
    },
  },
];

/** Target kinds in packages of their own: source → what `--plugin` names. */
export const plugins: Readonly<Record<string, string>> = {
  'packages/kind-mongodb/src/index.ts': '@sallyport/kind-mongodb',
  'packages/kind-sqlserver/src/index.ts': '@sallyport/kind-sqlserver',
};

/** `package.json` of a plug-in as it is shipped. */
export function pluginText(name: string): string {
  return `${JSON.stringify({ name, version: productVersion, type: 'module', exports: './index.mjs' }, null, 2)}\n`;
}

/** `NAME.mjs`: starts the bundle, or says which Node it needs. Syntax that older Nodes read too. */
export function entryText(name: string): string {
  return `#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';
if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write('${name}: Node 24 or newer is needed, this is ' + process.versions.node + '.\\n');
  process.exit(78);
}
// As in packages/*/bin: no code is made in threads that process.exit() waits for.
setFlagsFromString('--no-concurrent-sparkplug');
const { main } = await import('./lib/${name}/main.mjs');
const code = await main(process.argv.slice(2));
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((sent) => stream.write('', sent))));
process.exit(code);
`;
}

/** `NAME`: what one puts into the PATH (a link to it will do). Prefers the \`node\` that lies beside it. */
export function launcherText(name: string): string {
  return `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
if [ -x "$here/node" ]; then node=$here/node; else node=\${SALLYPORT_NODE:-node}; fi
command -v "$node" >/dev/null || { echo '${name}: Node 24 or newer is needed and there is none' >&2; exit 78; }
exec "$node" "$here/${name}.mjs" "$@"
`;
}
