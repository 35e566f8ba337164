import type { Clock } from '../clock.ts';

const quietEveryMs = 50;

/** Resolves when `isQuiet`, or after `mostMs`. */
export function whenQuiet(clock: Clock, isQuiet: (nowMs: number) => boolean, mostMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const untilMs = clock.monotonicMs() + mostMs;
  const stopLooking = clock.every(quietEveryMs, () => {
    const nowMs = clock.monotonicMs();
    if (nowMs < untilMs && !isQuiet(nowMs)) return;
    stopLooking();
    resolve();
  });
  return promise;
}
