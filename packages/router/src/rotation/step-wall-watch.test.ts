import { expect, test } from 'vitest';
import { newWallWatch, stepWallWatch, type WallReading } from './step-wall-watch.ts';

const at = (wallMs: number, monotonicMs = wallMs, bootMs = monotonicMs): WallReading => ({
  wallMs,
  monotonicMs,
  bootMs,
});

test('time that passes, a nudge, and a night asleep are trusted', () => {
  let watch = newWallWatch(at(0), null);
  watch = stepWallWatch(watch, at(86_400_000));
  watch = stepWallWatch(watch, at(86_700_000, 86_400_000));
  watch = stepWallWatch(watch, at(186_700_000, 86_500_000, 186_600_000));
  expect(watch.stopped).toBeNull();
});

test('a jump of over five minutes stops it, forwards and back, and it stays stopped', () => {
  const watch = newWallWatch(at(10_000_000, 0), null);
  const forwards = stepWallWatch(watch, at(10_301_001, 1_000));
  expect(forwards.stopped).toEqual({ why: 'jumped', byMs: 300_001 });
  expect(stepWallWatch(forwards, at(10_002_000, 2_000)).stopped).toEqual(forwards.stopped);
  expect(stepWallWatch(watch, at(9_600_000, 0)).stopped).toEqual({ why: 'jumped', byMs: -400_000 });
});

test('a clock before what an earlier process saw stops it from the start', () => {
  expect(newWallWatch(at(1_000_000), 1_004_000).stopped).toBeNull();
  expect(newWallWatch(at(1_000_000), 2_000_000).stopped).toEqual({ why: 'behind', byMs: -1_000_000 });
  expect(newWallWatch(at(1_000_000), null).stopped).toBeNull();
});
