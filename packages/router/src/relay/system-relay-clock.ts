/** Time of the relay process. */
export const relayClock = {
  nowMs: () => performance.now(),
  every: (ms: number, run: () => void): (() => void) => {
    const timer = setInterval(run, ms);
    return () => clearInterval(timer);
  },
  after: (ms: number, run: () => void): (() => void) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  jitter: () => Math.random(),
} as const;
