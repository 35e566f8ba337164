import type { Schedule } from '@sallyport/protocol';
// Fields, names, IANA zones and days on which clocks change are a library's work; croner has no dependency of its own.
import { Cron } from 'croner';

type Repeating = Exclude<Schedule, { kind: 'once' }>;

/** Further occurrences looked through for one that its interval takes: 53 years of every 52nd. */
const mostPassed = 3_000;
const nth = { FIRST: '1', SECOND: '2', THIRD: '3', FOURTH: '4', LAST: 'L' } as const;
const dayMs = 86_400_000;

/**
 * The first occurrence after `afterMs`; null: there is none any more.
 *
 * A local time that a zone skips comes once, at the next that there is; one that it repeats comes once.
 *
 * @param anchorMs - from where intervals count: the standing order's `iat`. The period it lies in is the first.
 * @throws TypeError, RangeError or the library's own for a pattern or zone without a meaning.
 */
export function nextOccurrence(schedule: Schedule, afterMs: number, anchorMs: number): number | null {
  if (schedule.kind === 'once') return schedule.atMs > afterMs ? schedule.atMs : null;
  const timer = timerOf(schedule);
  const every = schedule.kind === 'cron' ? 1 : schedule.every;
  let at = timer.nextRun(new Date(afterMs));
  for (let passed = 0; at !== null && passed < mostPassed; passed += 1) {
    const [first, here] = [periodOf(schedule, anchorMs), periodOf(schedule, at.getTime())];
    if (every === 1 || (((here - first) % every) + every) % every === 0) return at.getTime();
    at = timer.nextRun(at);
  }
  return null;
}

/** The next `count` occurrences. */
export function nextOccurrences(
  schedule: Schedule,
  afterMs: number,
  anchorMs: number,
  count: number,
): readonly number[] {
  const found: number[] = [];
  let at: number | null = afterMs;
  while (found.length < count) {
    at = nextOccurrence(schedule, at, anchorMs);
    if (at === null) break;
    found.push(at);
  }
  return found;
}

/** Spans looked back over for the latest occurrence that is past. */
const spansMs = [3_600_000, dayMs, 31 * dayMs, 366 * dayMs];
const mostCounted = 64;

/**
 * After an outage one run is made up for, the latest: of all occurrences from `fromMs`, itself one, up to `nowMs`.
 *
 * @returns `skipped`: earlier ones, counted up to 64.
 */
export function latestOccurrence(
  schedule: Schedule,
  span: { readonly fromMs: number; readonly nowMs: number; readonly anchorMs: number },
): { readonly dueAtMs: number; readonly skipped: number } {
  const { fromMs, nowMs, anchorMs } = span;
  const counted = nextOccurrences(schedule, fromMs, anchorMs, mostCounted + 1).filter((at) => at <= nowMs);
  if (counted.length <= mostCounted) return { dueAtMs: counted.at(-1) ?? fromMs, skipped: counted.length };
  for (const backMs of spansMs) {
    let at = nextOccurrence(schedule, Math.max(fromMs, nowMs - backMs), anchorMs);
    if (at === null || at > nowMs) continue;
    for (
      let next: number | null = at;
      next !== null && next <= nowMs;
      next = nextOccurrence(schedule, next, anchorMs)
    ) {
      at = next;
    }
    return { dueAtMs: at, skipped: mostCounted };
  }
  return { dueAtMs: counted.at(-1) ?? fromMs, skipped: mostCounted };
}

function timerOf(schedule: Repeating): Cron {
  const pattern = patternOf(schedule);
  const options = { paused: true, timezone: schedule.tz, mode: '5-or-6-parts' } as const;
  return new Cron(pattern, options);
}

function patternOf(schedule: Repeating): string {
  if (schedule.kind === 'cron') return schedule.cron;
  const [hour, minute] = schedule.time.split(':').map(Number);
  const at = `${minute} ${hour}`;
  switch (schedule.kind) {
    case 'daily':
      return `${at} * * *`;
    case 'weekly':
      return `${at} * * ${schedule.weekday}`;
    case 'monthly-by-day':
      return `${at} ${schedule.monthDay} * *`;
    case 'monthly-by-weekday':
      return `${at} * * ${schedule.weekday}#${nth[schedule.occurrence]}`;
    case 'yearly':
      return `${at} ${schedule.monthDay} ${schedule.month} *`;
    default:
      return schedule satisfies never;
  }
}

/** Number of the day, week (from Monday), month or year in which a moment lies, in the schedule's zone. */
function periodOf(schedule: Repeating, atMs: number): number {
  const date = new Intl.DateTimeFormat('en-US', {
    timeZone: schedule.tz,
    ...{ year: 'numeric', month: 'numeric', day: 'numeric' },
  }).formatToParts(atMs);
  const part = (type: string): number => Number(date.find((each) => each.type === type)?.value ?? 0);
  const [year, month, day] = [part('year'), part('month'), part('day')];
  const days = Date.UTC(year, month - 1, day) / dayMs;
  switch (schedule.kind) {
    case 'cron':
    case 'daily':
      return days;
    case 'weekly':
      // 1 January 1970 was a Thursday.
      return Math.floor((days + 3) / 7);
    case 'monthly-by-day':
    case 'monthly-by-weekday':
      return year * 12 + month;
    case 'yearly':
      return year;
    default:
      return schedule satisfies never;
  }
}

/** Spreads runs that fall due together: up to five minutes late, the same for a record each time. */
export function jitterMs(record: string): number {
  // FNV-1a; nothing secret depends on it.
  let hash = 0x811c9dc5;
  for (let i = 0; i < record.length; i += 1) hash = Math.imul(hash ^ record.charCodeAt(i), 0x01000193) >>> 0;
  return hash % jitterMostMs;
}
const jitterMostMs = 300_000;
