import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { closingLineReporter } from './scripts/closing-line-reporter.ts';
import { shippedStoreThread } from './scripts/shipped-store-thread.ts';

export default defineConfig({
  plugins: [shippedStoreThread()],
  test: {
    include: ['packages/*/{src,test}/**/*.test.ts', '{e2e,test,bench,scripts}/**/*.test.ts'],
    globalSetup: 'scripts/provide-programs.ts',
    pool: 'forks',
    // A worker that ends does not wait for a thread that waits for it (ADR 1); nor does the run itself (package.json).
    execArgv: ['--no-concurrent-sparkplug', '--no-maglev-build-code-on-background'],
    // Half as many again as there are cores: most of what takes long waits for programs it started.
    maxWorkers: Math.ceil(availableParallelism() * 1.5),
    // Children, ports and disks are real: a test that hangs ends after a minute, one that is merely slow does not fail.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // By itself it is one second: what a busy machine takes longer for would fail.
    expect: { poll: { timeout: 50_000 } },
    reporters: ['default', closingLineReporter()],
  },
});
