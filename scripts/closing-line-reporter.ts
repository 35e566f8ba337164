import type { Reporter, TestModule } from 'vitest/node';
import { missingTargets } from '../packages/testkit/src/target-list.ts';

/** Prints `tests: N passed, N failed, N skipped` as the very last line, and before it one line per missing target. */
export function closingLineReporter(): Reporter {
  return {
    onTestRunEnd(modules: readonly TestModule[], unhandled) {
      const counts = { passed: 0, failed: unhandled.length, skipped: 0, pending: 0 };
      for (const module of modules) {
        counts.failed += module.errors().length;
        for (const test of module.children.allTests()) counts[test.result().state] += 1;
      }
      const skipped = counts.skipped + counts.pending;
      process.once('exit', () => {
        for (const { name, probe, packages } of missingTargets())
          process.stdout.write(`tests of ${name} skipped: ${probe} is missing (Debian: ${packages.join(' ')})\n`);
        process.stdout.write(`tests: ${counts.passed} passed, ${counts.failed} failed, ${skipped} skipped\n`);
      });
    },
  };
}
