/** How long the beats of one link take, for who watches; nothing is decided by it. */
export interface BeatTimes {
  /** `nowMs`: monotonic. */
  sent(seq: number, nowMs: number): void;
  heard(seq: number, nowMs: number): void;
  /** Of the last beat that came back; null before the first. */
  rttMs(): number | null;
}

/** Beats under way that are remembered; a link with more of them is cut long before. */
const mostUnderWay = 64;

export function createBeatTimes(): BeatTimes {
  const underWay = new Map<number, number>();
  let last: number | null = null;
  return {
    sent: (seq, nowMs) => {
      underWay.set(seq, nowMs);
      if (underWay.size > mostUnderWay) underWay.delete(Math.min(...underWay.keys()));
    },
    heard: (seq, nowMs) => {
      const sentAtMs = underWay.get(seq);
      if (sentAtMs === undefined) return;
      last = nowMs - sentAtMs;
      for (const each of underWay.keys()) if (each <= seq) underWay.delete(each);
    },
    rttMs: () => last,
  };
}
