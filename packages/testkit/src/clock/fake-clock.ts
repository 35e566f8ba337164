/** A timer that waits: fires at a point of monotonic time, in the order of (time, order of making). */
interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/**
 * A clock that a test moves by hand. Every clock interface of the packages is a part of it.
 *
 * Three readings, as a real machine has them: wall (may jump), monotonic (moves with every advance) and awake
 * (stands still while the machine is suspended).
 */
export interface FakeClock {
  nowMs(): number;
  monotonicMs(): number;
  awakeMs(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  after(ms: number, run: () => void): () => void;
  /** Moves all three and fires what falls due, one by one, letting promises settle after each. */
  advance(ms: number): Promise<void>;
  /** Moves wall time alone, forwards or back; fires nothing. */
  jumpWall(ms: number): void;
  /** Like `advance`, but what falls due fires only at the end: a process that was stopped, or starved. */
  freeze(ms: number): Promise<void>;
  /** Like `freeze`, but awake time stands still: a machine that slept. */
  suspend(ms: number): Promise<void>;
  /** Timers that wait; 0 when nothing was left behind. */
  pending(): number;
}

/** Runs everything that promises already resolved can run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** @param startMs - wall time at first, Unix milliseconds. Monotonic and awake time start at 0. */
export function createFakeClock(startMs = Date.UTC(2026, 0, 1)): FakeClock {
  let monotonic = 0;
  let wallOffset = startMs;
  let asleep = 0;
  let made = 0;
  const timers = new Set<Timer>();

  const firstDue = (untilMs: number): Timer | undefined =>
    [...timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];

  async function fireUntil(untilMs: number, move: boolean): Promise<void> {
    for (let due = firstDue(untilMs); due; due = firstDue(untilMs)) {
      if (move) monotonic = Math.max(monotonic, due.atMs);
      timers.delete(due);
      due.run();
      await settle();
    }
    monotonic = untilMs;
    await settle();
  }

  function after(ms: number, run: () => void): () => void {
    const timer = { atMs: monotonic + Math.max(0, ms), order: made, run };
    made += 1;
    timers.add(timer);
    return () => void timers.delete(timer);
  }

  async function freeze(ms: number): Promise<void> {
    monotonic += ms;
    await fireUntil(monotonic, false);
  }

  return {
    nowMs: () => monotonic + wallOffset,
    monotonicMs: () => monotonic,
    awakeMs: () => monotonic - asleep,
    after,
    sleep(ms, signal) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason as Error);
          return;
        }
        const onAbort = (): void => {
          cancel();
          reject(signal?.reason as Error);
        };
        const cancel = after(ms, () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        });
        signal?.addEventListener('abort', onAbort, { once: true });
      });
    },
    advance: (ms) => fireUntil(monotonic + ms, true),
    jumpWall(ms) {
      wallOffset += ms;
    },
    freeze,
    async suspend(ms) {
      asleep += ms;
      await freeze(ms);
    },
    pending: () => timers.size,
  };
}
