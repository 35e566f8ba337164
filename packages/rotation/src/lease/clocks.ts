/**
 * Three clocks of one machine, read together, ms. The monotonic one stands still while the machine sleeps, the boot clock
 * does not, and the wall clock knows of a guest that was frozen and set right afterwards (F4).
 */
export interface Clocks {
  readonly monotonicMs: number;
  readonly bootMs: number;
  readonly wallMs: number;
}

/** What passed between two readings, by the clock that moved most: too much is safe, too little is not. */
export function elapsedMs(from: Clocks, to: Clocks): number {
  return Math.max(0, to.monotonicMs - from.monotonicMs, to.bootMs - from.bootMs, to.wallMs - from.wallMs);
}
