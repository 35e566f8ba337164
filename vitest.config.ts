import { defineConfig } from 'vitest/config';
import { closingLineReporter } from './scripts/closing-line-reporter.ts';

export default defineConfig({
  test: {
    include: ['packages/*/{src,test}/**/*.test.ts', '{e2e,test,bench,scripts}/**/*.test.ts'],
    globalSetup: 'scripts/provide-programs.ts',
    pool: 'forks',
    // The default leaves one of two cores idle, and most of what takes long waits for programs it started.
    maxWorkers: '100%',
    // Children, ports and disks are real: a test that hangs ends after a minute, one that is merely slow does not fail.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', closingLineReporter()],
  },
});
