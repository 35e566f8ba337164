import { takeHeadStart } from './program/head-start.ts';

/**
 * Runs `pam-router`. What takes long to load is loaded from here on, so that a start has something under way meanwhile.
 *
 * @param argv - arguments after the program's name.
 * @returns the exit code; errors are told on stderr in one line, with the remedy in the next.
 */
export async function main(argv: readonly string[]): Promise<number> {
  const starts = argv[0] === 'start' && !argv.includes('--help') && !argv.includes('-h');
  const early = starts ? takeHeadStart(argv, process.env) : null;
  const { runProgram } = await import('./program/run-program.ts');
  return runProgram(argv, early);
}
