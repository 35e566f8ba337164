import { fileURLToPath } from 'node:url';
import { type Child, type ChildOptions, type Later, runChild, startChild, type Within } from '@sallyport/testkit';
import { longMs } from './until.ts';

/** Root of this checkout, absolute, with a slash at its end. */
export const repository = fileURLToPath(new URL('../../', import.meta.url));

const shims = {
  pam: `${repository}packages/cli/bin/pam.mjs`,
  'pam-router': `${repository}packages/router/bin/pam-router.mjs`,
  'pam-gateway': `${repository}packages/gateway/bin/pam-gateway.mjs`,
} as const;
export type Program = keyof typeof shims;

export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the shells of developers may carry and a test must not inherit. */
const scrubbed = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => name.startsWith('SALLYPORT_') || name === 'GATEWAY_CONFIG' || name.startsWith('VITEST'))
    .map((name) => [name, undefined]),
);

/** Starts one of ours as a child that ends with the test, also when the test process is killed (its stdin closes). */
export function startProgram(
  later: Later,
  program: Program,
  args: readonly string[],
  options: ChildOptions = {},
): Child {
  return startChild(later, process.execPath, [shims[program], ...args], withCleanEnv(options));
}

/** Runs one of ours to its end. */
export async function runProgram(
  program: Program,
  args: readonly string[],
  options: ChildOptions & { readonly withinMs?: number } = {},
): Promise<Run> {
  const { code, stdout, stderr } = await runChild(process.execPath, [shims[program], ...args], {
    withinMs: longMs,
    ...withCleanEnv(options),
  });
  return { code, stdout, stderr };
}

/** Path of the shim of one of ours, for scripts that start it themselves. */
export function shimOf(program: Program): string {
  return shims[program];
}

/** Runs inside `inner` inside `outer`. */
export function nested(outer: Within | undefined, inner: Within | undefined): Within | undefined {
  if (outer === undefined || inner === undefined) return outer ?? inner;
  return (command, args) => outer(...inner(command, args));
}

/** At most `count` open files, also after the program asked for more. */
export function withOpenFiles(count: number): Within {
  return (command, args) => ['prlimit', [`--nofile=${count}:${count}`, '--', command, ...args]];
}

/** Environment of a test's children: no colours, nothing of the developer's own settings. */
export const cleanEnvironment: NonNullable<ChildOptions['env']> = { NO_COLOR: '1', ...scrubbed };

function withCleanEnv<Options extends ChildOptions>(options: Options): Options {
  return { ...options, env: { ...cleanEnvironment, ...options.env } };
}
