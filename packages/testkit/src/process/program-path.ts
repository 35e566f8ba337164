import { join } from 'node:path';

/** Programs that are shipped, by the package that they come from. */
const packages = { pam: 'cli', 'pam-router': 'router', 'pam-gateway': 'gateway' } as const;
export type Program = keyof typeof packages;

/** What starts one of ours under Node: as it is built, where `npm test` or a bench built it; else its sources. */
export function programPath(program: Program, env: NodeJS.ProcessEnv = process.env): string {
  const built = env['SALLYPORT_TEST_PROGRAMS'];
  return built === undefined ? sourcePath(program) : join(built, `${program}.mjs`);
}

/** The same from its sources: for tests that reach into a library which a bundle has inside. */
export function sourcePath(program: Program): string {
  return join(import.meta.dirname, '../../..', packages[program], 'bin', `${program}.mjs`);
}

/** Environment that lets programs keep what was compiled, from one start to the next; nothing for sources. */
export function compileCache(env: NodeJS.ProcessEnv = process.env): Readonly<Record<string, string>> {
  const built = env['SALLYPORT_TEST_PROGRAMS'];
  return built === undefined ? {} : { NODE_COMPILE_CACHE: join(built, 'compiled') };
}
