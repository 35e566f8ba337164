import { setTimeout as pause } from 'node:timers/promises';

/** Real programs on a busy machine: long enough that only what never happens runs into it. For `vi.setConfig`. */
export const patience = { testTimeout: 240_000, hookTimeout: 240_000 } as const;
/** For one line or one condition. */
export const longMs = 120_000;

/**
 * Asks again until the answer is there. A test waits for what must happen, however long a busy machine takes for it;
 * only a run in which it never happens ends by time.
 *
 * @param look - undefined, false and null mean "not yet"; a throw ends the wait.
 */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | null | Promise<T | undefined | false | null>,
  withinMs = longMs,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await look();
    if (answer !== undefined && answer !== false && answer !== null) return answer;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms`);
    await pause(25);
  }
}
