import { expect, test } from 'vitest';
import { createBeatTimes } from './beat-times.ts';

test('the round trip is that of the last beat that came back, though several are under way', () => {
  const beats = createBeatTimes();
  expect(beats.rttMs()).toBeNull();
  beats.sent(1, 0);
  beats.sent(2, 250);
  beats.heard(1, 300);
  expect(beats.rttMs()).toBe(300);
  beats.heard(2, 310);
  expect(beats.rttMs()).toBe(60);
});

test('a pong that nobody waits for, or that comes twice, changes nothing', () => {
  const beats = createBeatTimes();
  beats.sent(1, 0);
  beats.heard(7, 5);
  expect(beats.rttMs()).toBeNull();
  beats.heard(1, 10);
  beats.heard(1, 999);
  expect(beats.rttMs()).toBe(10);
});
