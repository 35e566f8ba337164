import { expect, onTestFinished, test } from 'vitest';
import { startChild } from '../process/child.ts';
import { newShiftableClock } from './shiftable-clock.ts';

test('the wall clock of a running program moves as told, its monotonic clock does not', async () => {
  const clock = newShiftableClock(onTestFinished);
  const script = `
    const real = () => performance.timeOrigin + performance.now();
    setInterval(() => {
      const off = Date.now() - real();
      const same = Math.abs(new Date().getTime() - Date.now()) < 1000 && new Date(0).getTime() === 0;
      console.log((Math.abs(off) < 60e3 ? 'now' : off > 0 ? 'ahead' : 'behind') + (same && new Date() instanceof Date ? '' : ' broken'));
    }, 10);
  `;
  const child = startChild(onTestFinished, process.execPath, ['-e', script], { env: clock.env });
  await child.waitForLine(/^now$/);
  clock.shift(3_600_000);
  await child.waitForLine(/^ahead$/);
  clock.shift(-3_600_000);
  await child.waitForLine(/^behind$/);
  expect(child.stdout()).not.toContain('broken');
});
