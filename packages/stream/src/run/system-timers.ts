import { performance } from 'node:perf_hooks';

/** Time for the data plane; tests give a fake. */
export interface Timers {
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Wall clock, Unix milliseconds: certificates only. */
  wallMs(): number;
  /** Calls `run` once after `ms`; the returned function cancels. */
  after(ms: number, run: () => void): () => void;
}

export const systemTimers: Timers = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
