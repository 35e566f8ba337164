/**
 * Where a target leaves the work of ending it: vitest's `onTestFinished`, its `afterAll`, or `createCleanup().later`.
 * Work registered last is done first.
 */
export type Later = (work: () => Promise<void> | void) => void;

/** A stack of ending work for programs that are no vitest test (bench, tour). */
export function createCleanup(): { readonly later: Later; run(): Promise<void> } {
  const stack: (() => Promise<void> | void)[] = [];
  return {
    later: (work) => void stack.push(work),
    /** Does all of it, newest first, even when some fails; then throws the first failure. */
    async run() {
      const failures: unknown[] = [];
      for (let work = stack.pop(); work; work = stack.pop()) {
        try {
          await work();
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}
