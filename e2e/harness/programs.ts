import { fileURLToPath } from 'node:url';
import {
  type Child,
  type ChildOptions,
  compileCache,
  type Later,
  type Program,
  programPath,
  runChild,
  sourcePath,
  startChild,
  type Within,
} from '@sallyport/testkit';
import { longMs } from './until.ts';

/** Root of this checkout, absolute, with a slash at its end. */
export const repository = fileURLToPath(new URL('../../', import.meta.url));

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
  { fromSources = false, ...options }: ChildOptions & { readonly fromSources?: boolean } = {},
): Child {
  const path = fromSources ? sourcePath(program) : programPath(program);
  return startChild(later, process.execPath, [path, ...args], withCleanEnv(options));
}

/** Runs one of ours to its end. */
export async function runProgram(
  program: Program,
  args: readonly string[],
  options: ChildOptions & { readonly withinMs?: number } = {},
): Promise<Run> {
  const { code, stdout, stderr } = await runChild(process.execPath, [programPath(program), ...args], {
    withinMs: longMs,
    ...withCleanEnv(options),
  });
  return { code, stdout, stderr };
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
  return { ...options, env: { ...cleanEnvironment, ...compileCache(), ...options.env } };
}
