import type { Schedule } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { jitterMs, latestOccurrence, nextOccurrence, nextOccurrences } from './occurrences.ts';

const at = (text: string): number => Date.parse(text);
const shown = (schedule: Schedule, after: string, count: number, anchor = after): string[] =>
  nextOccurrences(schedule, at(after), at(anchor), count).map((ms) => new Date(ms).toISOString().slice(0, 16));
const berlin = { time: '02:30', tz: 'Europe/Berlin', every: 1 } as const;

test('a local time that a zone skips comes once, at the next there is, and one that it repeats comes once', () => {
  expect(shown({ kind: 'daily', ...berlin }, '2026-03-27T12:00Z', 3)).toEqual([
    '2026-03-28T01:30',
    // 02:30 is not there on the 29th: the clock goes from 02:00 to 03:00.
    expect.stringMatching(/^2026-03-29T01:[03]0$/),
    '2026-03-30T00:30',
  ]);
  expect(shown({ kind: 'daily', ...berlin }, '2026-10-24T12:00Z', 2)).toEqual(['2026-10-25T00:30', '2026-10-26T01:30']);
});

test('weekdays, the last of a month, the 31st where there is one, a leap day', () => {
  expect(shown({ kind: 'weekly', ...berlin, weekday: 'MON' }, '2026-01-01T00:00Z', 2)).toEqual([
    '2026-01-05T01:30',
    '2026-01-12T01:30',
  ]);
  const last = { kind: 'monthly-by-weekday', ...berlin, weekday: 'FRI', occurrence: 'LAST' } as const;
  expect(shown(last, '2026-01-01T00:00Z', 2)).toEqual(['2026-01-30T01:30', '2026-02-27T01:30']);
  const third = { ...last, weekday: 'TUE', occurrence: 'THIRD' } as const;
  expect(shown(third, '2026-01-01T00:00Z', 1)).toEqual(['2026-01-20T01:30']);
  const day = { kind: 'monthly-by-day', ...berlin, tz: 'UTC', monthDay: 31 } as const;
  expect(shown(day, '2026-01-01T00:00Z', 3)).toEqual(['2026-01-31T02:30', '2026-03-31T02:30', '2026-05-31T02:30']);
  const leap = { kind: 'yearly', ...berlin, tz: 'UTC', month: 2, monthDay: 29 } as const;
  expect(shown(leap, '2026-01-01T00:00Z', 1)).toEqual(['2028-02-29T02:30']);
});

test('intervals count from the anchor, whenever one asks', () => {
  const every = { kind: 'weekly', time: '08:00', tz: 'UTC', weekday: 'WED', every: 3 } as const;
  const anchor = '2026-01-05T00:00Z';
  const runs = ['2026-01-07T08:00', '2026-01-28T08:00', '2026-02-18T08:00'];
  expect(shown(every, '2026-01-01T00:00Z', 3, anchor)).toEqual(runs);
  expect(shown(every, '2026-01-08T00:00Z', 2, anchor)).toEqual(runs.slice(1));
  const months = { kind: 'monthly-by-day', time: '08:00', tz: 'UTC', monthDay: 1, every: 6 } as const;
  expect(shown(months, '2026-01-02T00:00Z', 2, '2026-01-01T00:00Z')).toEqual(['2026-07-01T08:00', '2027-01-01T08:00']);
});

test('cron of five and six fields, with names; nonsense throws, once comes once', () => {
  expect(shown({ kind: 'cron', cron: '0 3 * JAN MON-TUE', tz: 'UTC' }, '2026-01-01T00:00Z', 2)).toEqual([
    '2026-01-05T03:00',
    '2026-01-06T03:00',
  ]);
  expect(nextOccurrence({ kind: 'cron', cron: '30 0 3 * * *', tz: 'UTC' }, at('2026-01-01T00:00Z'), 0)).toBe(
    at('2026-01-01T03:00:30Z'),
  );
  expect(() => nextOccurrence({ kind: 'cron', cron: '0 25 * * *', tz: 'UTC' }, 0, 0)).toThrow('25');
  expect(() => nextOccurrence({ kind: 'cron', cron: '0 5 * * *', tz: 'Mars/Olympus' }, 0, 0)).toThrow('Mars/Olympus');
  expect(nextOccurrence({ kind: 'once', atMs: 10 }, 9, 0)).toBe(10);
  expect(nextOccurrence({ kind: 'once', atMs: 10 }, 10, 0)).toBeNull();
});

test('after an outage the latest is made up for, and the others are counted', () => {
  const hourly: Schedule = { kind: 'cron', cron: '0 * * * *', tz: 'UTC' };
  const span = { fromMs: at('2026-01-01T00:00Z'), anchorMs: 0 };
  expect(latestOccurrence(hourly, { ...span, nowMs: at('2026-01-01T00:00Z') })).toEqual({
    dueAtMs: span.fromMs,
    skipped: 0,
  });
  expect(latestOccurrence(hourly, { ...span, nowMs: at('2026-01-01T05:59Z') })).toEqual({
    dueAtMs: at('2026-01-01T05:00Z'),
    skipped: 5,
  });
  expect(latestOccurrence(hourly, { ...span, nowMs: at('2026-03-01T05:59Z') })).toEqual({
    dueAtMs: at('2026-03-01T05:00Z'),
    skipped: 64,
  });
});

test('jitter is the same for a record each time, within five minutes, and not the same for all', () => {
  const seen = Array.from({ length: 200 }, (_, i) => jitterMs(`record${i}`));
  expect(seen.every((ms) => ms >= 0 && ms < 300_000)).toBe(true);
  expect(new Set(seen).size).toBeGreaterThan(190);
  expect(jitterMs('record1')).toBe(seen[1]);
});
