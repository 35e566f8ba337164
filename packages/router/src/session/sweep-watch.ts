/** Both clocks at one moment, ms. */
export interface Moment {
  /** Stops while the process does not run; never jumps. */
  readonly monotonicMs: number;
  /** In which the store keeps when a session was last touched; an operator or NTP may move it. */
  readonly wallMs: number;
}

/**
 * When a look for sessions that nobody touches may end some (S2): only where everybody had the whole time to touch his.
 * After a start, after a pause of this process, and after the wall clock moved against the monotonic one, all have it
 * again: by the store's times alone a clock that jumps an hour would end every session there is.
 */
export interface SweepWatch {
  readonly last: Moment;
  /** Monotonic. */
  readonly fromMs: number;
}

export interface SweepTimes {
  /** Two looks further apart are a pause. */
  readonly pauseMs: number;
  /** A session untouched for so long is ended. */
  readonly touchWithinMs: number;
}

/** Slower than any clock drifts between two looks, and short beside `touchWithinMs`. */
const jumpMs = 5_000;

export function newSweepWatch(now: Moment, { touchWithinMs }: SweepTimes): SweepWatch {
  return { last: now, fromMs: now.monotonicMs + touchWithinMs };
}

/** One look. */
export function stepSweepWatch(
  watch: SweepWatch,
  now: Moment,
  { pauseMs, touchWithinMs }: SweepTimes,
): { readonly watch: SweepWatch; readonly mayEnd: boolean } {
  const passedMs = now.monotonicMs - watch.last.monotonicMs;
  const movedMs = Math.abs(now.wallMs - watch.last.wallMs - passedMs);
  const isAnew = passedMs > pauseMs || movedMs > jumpMs;
  const fromMs = isAnew ? now.monotonicMs + touchWithinMs : watch.fromMs;
  return { watch: { last: now, fromMs }, mayEnd: now.monotonicMs >= fromMs };
}
