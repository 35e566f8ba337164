import { uptime } from 'node:os';
import type { Clocks } from '@sallyport/rotation';

/** The machine's three clocks, read together. */
export const systemClocks = (): Clocks => ({
  monotonicMs: performance.now(),
  bootMs: uptime() * 1_000,
  wallMs: Date.now(),
});
