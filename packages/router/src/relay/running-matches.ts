/**
 * What a router that stops still carries: pairs of legs that run, and streams placed a moment ago whose legs are on
 * their way. Counts only; `isQuiet` decides.
 */
export interface RunningMatches {
  began(): void;
  ended(): void;
  /** A stream was given tickets; its legs come within `legsWithinMs` or not at all soon. */
  placed(nowMs: number): void;
  count(): number;
  /** Nothing runs and nothing is about to. @param nowMs - monotonic. */
  isQuiet(nowMs: number): boolean;
}

/** Legs of a placed stream are dialled at once; this is many round trips. */
const legsWithinMs = 1_000;

export function createRunningMatches(): RunningMatches {
  let running = 0;
  let placedAtMs = Number.NEGATIVE_INFINITY;
  return {
    began: () => {
      running += 1;
    },
    ended: () => {
      running = Math.max(0, running - 1);
    },
    placed: (nowMs) => {
      placedAtMs = nowMs;
    },
    count: () => running,
    isQuiet: (nowMs) => running === 0 && nowMs - placedAtMs >= legsWithinMs,
  };
}
