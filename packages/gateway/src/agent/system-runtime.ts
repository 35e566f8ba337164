import type { Runtime } from './runtime.ts';

/** Longest a Node timer holds; a longer one would fire at once. */
const timerMaxMs = 2_147_483_647;

export const systemRuntime: Runtime = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  random: () => Math.random(),
  schedule: (ms, fn) => {
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      const partMs = Math.min(leftMs, timerMaxMs);
      timer = setTimeout(() => (leftMs > partMs ? arm(leftMs - partMs) : fn()), partMs);
    };
    arm(Math.max(0, ms));
    return () => clearTimeout(timer);
  },
};
