import { expect, test } from 'vitest';
import { createFakeClock } from './fake-clock.ts';

test('timers fire in the order of their time, then of their making, and see that time', async () => {
  const clock = createFakeClock(0);
  const seen: string[] = [];
  clock.after(20, () => seen.push(`late ${clock.nowMs()}`));
  clock.after(10, () => seen.push(`first ${clock.nowMs()}`));
  clock.after(10, () => seen.push(`second ${clock.nowMs()}`));
  await clock.advance(15);
  expect(seen).toEqual(['first 10', 'second 10']);
  await clock.advance(5);
  expect(seen).toEqual(['first 10', 'second 10', 'late 20']);
});

test('a sleeper that sleeps again within one advance wakes twice', async () => {
  const clock = createFakeClock(0);
  const woke: number[] = [];
  const work = (async () => {
    for (let round = 0; round < 2; round += 1) {
      await clock.sleep(10);
      woke.push(clock.monotonicMs());
    }
  })();
  await clock.advance(25);
  await work;
  expect(woke).toEqual([10, 20]);
});

test('an aborted sleep rejects with the reason and leaves no timer behind', async () => {
  const clock = createFakeClock();
  const stop = new AbortController();
  const sleeping = clock.sleep(1_000, stop.signal);
  stop.abort(new Error('enough'));
  await expect(sleeping).rejects.toThrow('enough');
  await expect(clock.sleep(1, stop.signal)).rejects.toThrow('enough');
  expect(clock.pending()).toBe(0);
});

test('a freeze makes timers late, a suspend stops awake time, a jump moves the wall alone', async () => {
  const clock = createFakeClock(0);
  const seen: number[] = [];
  clock.after(10, () => seen.push(clock.monotonicMs()));
  await clock.freeze(500);
  expect(seen).toEqual([500]);
  await clock.suspend(100);
  expect([clock.monotonicMs(), clock.awakeMs()]).toEqual([600, 500]);
  clock.jumpWall(-300);
  expect([clock.nowMs(), clock.monotonicMs()]).toEqual([300, 600]);
});
