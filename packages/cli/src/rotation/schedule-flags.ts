import { PamError, type Schedule, scheduleSchema } from '@sallyport/protocol';
import { z } from 'zod';

export const scheduleFlagsSchema = z.object({
  onDemand: z.boolean().default(false),
  cron: z.string().max(256).optional(),
  daily: z.string().max(32).optional(),
  weekly: z.string().max(32).optional(),
  monthly: z.string().max(32).optional(),
  yearly: z.string().max(32).optional(),
  once: z.string().max(64).optional(),
  every: z.string().max(4).optional(),
  tz: z.string().max(64).optional(),
  scheduleConfig: z.boolean().default(false),
});
export type ScheduleFlags = z.infer<typeof scheduleFlagsSchema>;

/** What the flags ask for: nothing, no schedule, the configuration's, or this one. */
export type WantedSchedule =
  | { readonly kind: 'unchanged' | 'on-demand' | 'configuration' }
  | { readonly kind: 'own'; readonly schedule: Schedule };

const forms = ['cron', 'daily', 'weekly', 'monthly', 'yearly', 'once'] as const;

/** @throws PAM_USAGE naming the flag and its form. */
export function readSchedule(flags: ScheduleFlags): WantedSchedule {
  const given = forms.filter((form) => flags[form] !== undefined);
  const chosen = [
    ...given,
    ...(flags.onDemand ? ['on-demand'] : []),
    ...(flags.scheduleConfig ? ['schedule-config'] : []),
  ];
  if (chosen.length > 1) throw new PamError('PAM_USAGE', `--${chosen.join(' and --')} exclude each other`);
  const [form] = given;
  if (form === undefined && (flags.every !== undefined || flags.tz !== undefined)) {
    throw new PamError('PAM_USAGE', '--every and --tz belong to --cron, --daily, --weekly, --monthly or --yearly');
  }
  if (flags.onDemand) return { kind: 'on-demand' };
  if (flags.scheduleConfig) return { kind: 'configuration' };
  if (form === undefined) return { kind: 'unchanged' };
  const parsed = scheduleSchema.safeParse(draft(form, flags[form] ?? '', flags));
  if (parsed.success) return { kind: 'own', schedule: parsed.data };
  const issue = parsed.error.issues[0];
  throw new PamError('PAM_USAGE', `--${form}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? 'is not understood'}`);
}

function draft(form: (typeof forms)[number], text: string, flags: ScheduleFlags): unknown {
  const tz = flags.tz ?? 'Etc/UTC';
  const every = flags.every === undefined ? {} : { every: whole('--every', flags.every) };
  const common = { tz, ...every };
  switch (form) {
    case 'cron':
      return { kind: 'cron', cron: text.trim(), tz };
    case 'once': {
      const atMs = Date.parse(text);
      if (Number.isNaN(atMs)) throw bad(form, text, 'an ISO 8601 time as 2027-01-31T03:00:00Z');
      return { kind: 'once', atMs };
    }
    case 'daily':
      return { kind: 'daily', time: text, ...common };
    case 'weekly': {
      const [weekday, time] = pair(form, text, 'DAY,HH:MM as SUN,03:00');
      return { kind: 'weekly', weekday: weekday.toUpperCase(), time, ...common };
    }
    case 'monthly':
      return monthly(text, common);
    case 'yearly': {
      const [day, time] = pair(form, text, 'MM-DD,HH:MM as 12-31,03:00');
      const match = /^(\d{2})-(\d{2})$/.exec(day);
      if (match === null) throw bad(form, text, 'MM-DD,HH:MM as 12-31,03:00');
      return { kind: 'yearly', month: Number(match[1]), monthDay: Number(match[2]), time, ...common };
    }
    default:
      return form satisfies never;
  }
}

function monthly(text: string, common: object): unknown {
  const form = 'DAY,HH:MM as 15,03:00 or LAST:FRI,03:00';
  const [day, time] = pair('monthly', text, form);
  const byWeekday = /^(FIRST|SECOND|THIRD|FOURTH|LAST):([A-Z]{3})$/.exec(day.toUpperCase());
  if (byWeekday !== null) {
    return { kind: 'monthly-by-weekday', occurrence: byWeekday[1], weekday: byWeekday[2], time, ...common };
  }
  return { kind: 'monthly-by-day', monthDay: whole('--monthly', day), time, ...common };
}

function pair(form: string, text: string, wanted: string): readonly [string, string] {
  const [day, time, rest] = text.split(',');
  if (day === undefined || time === undefined || rest !== undefined) throw bad(form, text, wanted);
  return [day.trim(), time.trim()];
}

function whole(flag: string, text: string): number {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new PamError('PAM_USAGE', `${flag}: “${text}” is not a whole number`);
}

function bad(form: string, text: string, wanted: string): PamError {
  return new PamError('PAM_USAGE', `--${form}: “${text}” is not ${wanted}`);
}

/** One line for people: `every day at 03:00 Europe/Berlin`. */
export function scheduleText(schedule: Schedule | null): string {
  if (schedule === null) return 'on demand';
  switch (schedule.kind) {
    case 'cron':
      return `cron ${schedule.cron} ${schedule.tz}`;
    case 'once':
      return `once at ${new Date(schedule.atMs).toISOString().slice(0, 16)}Z`;
    case 'daily':
      return `every ${times(schedule.every, 'day')} at ${schedule.time} ${schedule.tz}`;
    case 'weekly':
      return `every ${times(schedule.every, 'week')} on ${schedule.weekday} at ${schedule.time} ${schedule.tz}`;
    case 'monthly-by-day':
      return `every ${times(schedule.every, 'month')} on day ${schedule.monthDay} at ${schedule.time} ${schedule.tz}`;
    case 'monthly-by-weekday':
      return `every ${times(schedule.every, 'month')} on the ${schedule.occurrence.toLowerCase()} ${schedule.weekday} at ${schedule.time} ${schedule.tz}`;
    case 'yearly':
      return `every ${times(schedule.every, 'year')} on ${String(schedule.month).padStart(2, '0')}-${String(schedule.monthDay).padStart(2, '0')} at ${schedule.time} ${schedule.tz}`;
    default:
      return schedule satisfies never;
  }
}

const times = (every: number, unit: string): string => (every === 1 ? unit : `${every} ${unit}s`);
