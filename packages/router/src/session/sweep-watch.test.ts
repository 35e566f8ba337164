import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newSweepWatch, stepSweepWatch } from './sweep-watch.ts';

const times = { pauseMs: 20_000, touchWithinMs: 90_000 };
const lookMs = 10_000;

/** Looks every 10 s; `moves[n]` is how far the wall clock and the process were off before look n. */
function run(moves: readonly { readonly wallMs: number; readonly pauseMs: number }[]): readonly boolean[] {
  let now = { monotonicMs: 0, wallMs: 1_000_000_000 };
  let watch = newSweepWatch(now, times);
  return moves.map(({ wallMs, pauseMs }) => {
    const passedMs = lookMs + pauseMs;
    now = { monotonicMs: now.monotonicMs + passedMs, wallMs: now.wallMs + passedMs + wallMs };
    const step = stepSweepWatch(watch, now, times);
    watch = step.watch;
    return step.mayEnd;
  });
}

const quiet = { wallMs: 0, pauseMs: 0 };
const looks = (count: number): (typeof quiet)[] => Array.from({ length: count }, () => quiet);

test('after a start everybody has the whole time to touch his session', () => {
  expect(run(looks(10))).toEqual([...Array.from({ length: 8 }, () => false), true, true]);
});

test.each([
  ['jumps an hour ahead', { wallMs: 3_600_000, pauseMs: 0 }],
  ['jumps an hour back', { wallMs: -3_600_000, pauseMs: 0 }],
  ['was right while the process was paused', { wallMs: 0, pauseMs: 60_000 }],
])('when the wall clock %s nobody is ended for another 90 s', (_, move) => {
  const answers = run([...looks(20), move, ...looks(10)]);
  expect(answers.slice(18)).toEqual([true, true, ...Array.from({ length: 9 }, () => false), true, true]);
});

test('whatever the clocks do, no look ends a session within 90 s of a jump or a pause', () => {
  const move = fc.record({
    wallMs: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, fc.integer({ min: -4_000_000, max: 4_000_000 })),
    pauseMs: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 100_000 })),
  });
  fc.assert(
    fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
      let quietMs = 0;
      run(moves).forEach((mayEnd, n) => {
        const { wallMs, pauseMs } = moves[n] ?? quiet;
        quietMs = Math.abs(wallMs) > 5_000 || pauseMs > 10_000 ? 0 : quietMs + lookMs + pauseMs;
        if (mayEnd) expect(quietMs).toBeGreaterThanOrEqual(times.touchWithinMs);
      });
    }),
  );
});
