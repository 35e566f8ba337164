/** What was opened, to be closed in the reverse order, each step even if one before failed. */
export interface Closing {
  add(close: () => unknown): void;
  /** Idempotent: whoever calls again waits for the first. */
  run(): Promise<void>;
}

export function createClosing(failed: (error: unknown) => void): Closing {
  const steps: (() => unknown)[] = [];
  let running: Promise<void> | null = null;
  async function run(): Promise<void> {
    for (const close of steps.toReversed()) {
      try {
        await close();
      } catch (reason) {
        failed(reason);
      }
    }
  }
  return { add: (close) => steps.push(close), run: () => (running ??= run()) };
}
