/**
 * Watches whether the wall clock can be trusted to say what is due (architecture, section 10).
 *
 * T1 it stands still, or jumps by over five minutes against the machine's own time: nothing is due by it any more.
 * T2 a machine that slept is no jump: its time since boot went on too.
 * T3 what made it stop stays, until the program starts anew.
 */
export interface WallReading {
  /** Unix milliseconds. */
  readonly wallMs: number;
  /** Stands still while the machine sleeps. */
  readonly monotonicMs: number;
  /** Does not. */
  readonly bootMs: number;
}
export interface WallWatch {
  readonly began: WallReading;
  readonly stopped: WallStop | null;
}
export interface WallStop {
  readonly why: 'jumped' | 'behind';
  /** By so much; negative: back. */
  readonly byMs: number;
}

const mostMs = 300_000;
/** A clock that was set right at boot may stand a little before what an earlier process saw. */
const behindMs = 5_000;

/** @param seenMs - latest wall time that any process noted in this store; null at first, or when an operator says so. */
export function newWallWatch(now: WallReading, seenMs: number | null): WallWatch {
  const byMs = seenMs === null ? 0 : now.wallMs - seenMs;
  return { began: now, stopped: byMs < -behindMs ? { why: 'behind', byMs } : null };
}

export function stepWallWatch(watch: WallWatch, now: WallReading): WallWatch {
  if (watch.stopped !== null) return watch;
  const wall = now.wallMs - watch.began.wallMs;
  const drifts = [wall - (now.monotonicMs - watch.began.monotonicMs), wall - (now.bootMs - watch.began.bootMs)];
  const byMs = drifts.reduce((least, drift) => (Math.abs(drift) < Math.abs(least) ? drift : least));
  return Math.abs(byMs) > mostMs ? { ...watch, stopped: { why: 'jumped', byMs } } : watch;
}
