import { expect, test } from 'vitest';
import { readSchedule, scheduleFlagsSchema, scheduleText } from './schedule-flags.ts';

const read = (flags: Record<string, unknown>) => readSchedule(scheduleFlagsSchema.parse(flags));

test.each([
  [{ cron: '0 3 * * SUN', tz: 'Europe/Berlin' }, 'cron 0 3 * * SUN Europe/Berlin'],
  [{ daily: '03:00' }, 'every day at 03:00 Etc/UTC'],
  [{ weekly: 'sun,03:30', every: '2' }, 'every 2 weeks on SUN at 03:30 Etc/UTC'],
  [{ monthly: '31,23:59' }, 'every month on day 31 at 23:59 Etc/UTC'],
  [{ monthly: 'LAST:FRI,03:00' }, 'every month on the last FRI at 03:00 Etc/UTC'],
  [{ yearly: '02-29,00:00' }, 'every year on 02-29 at 00:00 Etc/UTC'],
  [{ once: '2027-01-31T03:00:00Z' }, 'once at 2027-01-31T03:00Z'],
])('%o reads as “%s”', (flags, text) => {
  const wanted = read(flags);
  expect(wanted.kind === 'own' ? scheduleText(wanted.schedule) : wanted.kind).toBe(text);
});

test.each([
  [{ daily: '25:00' }, /--daily: time/],
  [{ daily: '3:00' }, /--daily: time/],
  [{ weekly: 'SUNDAY,03:00' }, /--weekly: weekday/],
  [{ weekly: '03:00' }, /is not DAY,HH:MM/],
  [{ monthly: '32,03:00' }, /--monthly: monthDay/],
  [{ monthly: 'FIFTH:FRI,03:00' }, /not a whole number/],
  [{ yearly: '1-1,03:00' }, /is not MM-DD/],
  [{ once: 'tomorrow' }, /ISO 8601/],
  [{ daily: '03:00', every: '0' }, /--daily: every/],
  [{ daily: '03:00', cron: '0 3 * * *' }, /exclude each other/],
  [{ onDemand: true, daily: '03:00' }, /exclude each other/],
  [{ tz: 'Europe/Berlin' }, /belong to/],
])('%o is refused: %s', (flags, message) => {
  expect(() => read(flags)).toThrow(message);
});

test('what is not said stays, on demand and the configuration’s are said', () => {
  expect(read({}).kind).toBe('unchanged');
  expect(read({ onDemand: true }).kind).toBe('on-demand');
  expect(read({ scheduleConfig: true }).kind).toBe('configuration');
});
