import { setTimeout as pause } from 'node:timers/promises';

/**
 * Asks again until the answer is there. A test waits for what must happen, however long a busy machine takes for it;
 * only a run in which it never happens ends by time.
 *
 * @param look - undefined, false and null mean "not yet"; a throw ends the wait.
 */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | null | Promise<T | undefined | false | null>,
  withinMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await look();
    if (answer !== undefined && answer !== false && answer !== null) return answer;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms`);
    await pause(25);
  }
}
