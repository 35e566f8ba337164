const minuteMs = 60_000;
const waitsMs = [5, 30, 120, 480, 1_440, 2_880, 4_320].map((minutes) => minutes * minuteMs);

/**
 * How long after a job's end what is left over is tried to be removed again, ms: longer each time, all of them within the
 * week in which a rotation may be finished without a new order (ADR 15). Null: not by itself any more.
 *
 * @param tries - jobs for it that did not remove it, since it was left over.
 */
export function retireWaitMs(tries: number): number | null {
  return waitsMs[tries] ?? null;
}
