import type { RotationSettings, Schedule } from '@sallyport/protocol';
import { formatComplexity, nextOccurrences } from '@sallyport/rotation';
import { peekStandingOrder } from '@sallyport/seal';
import { isoTime } from '../terminal/show.ts';
import { complexityOf } from './edit-settings.ts';
import type { User } from './rotated-record.ts';
import { scheduleText } from './schedule-flags.ts';

/** Schedule of a record and when its person signed it. */
export function scheduleOf(
  settings: RotationSettings,
): { readonly schedule: Schedule; readonly anchorMs: number } | null {
  if (settings.standing === null) return null;
  const { schedule, iat } = peekStandingOrder(settings.standing);
  return { schedule, anchorMs: iat * 1_000 };
}

/** The next occurrences, Unix ms; empty on demand. The router adds a jitter of its own. */
export function nextRunsOf(settings: RotationSettings, nowMs: number, count: number): readonly number[] {
  const standing = scheduleOf(settings);
  if (standing === null || count === 0 || !settings.enabled) return [];
  return nextOccurrences(standing.schedule, nowMs, standing.anchorMs, count);
}

/** A record's rotation as every command prints it in JSON; `null` when there is none. */
export function settingsJson(user: User, nowMs: number, runs: number): Record<string, unknown> {
  const settings = user.facts.rotation;
  const head = { record_uid: user.uid, record_name: user.title, login: user.facts.login };
  if (settings === undefined) return { ...head, rotation: null };
  const schedule = scheduleOf(settings)?.schedule ?? null;
  return {
    ...head,
    rotation: {
      enabled: settings.enabled,
      resource_uid: settings.resource,
      by: settings.by,
      scripts_only: settings.noop,
      kind: settings.kind === '' ? null : settings.kind,
      changes: settings.changes,
      complexity: formatComplexity(complexityOf(settings)),
      schedule,
      schedule_text: scheduleText(schedule),
      next_runs: nextRunsOf(settings, nowMs, runs).map(isoTime),
      replicas: settings.replicas,
      scripts: settings.scripts.map(({ name, on, enabled }) => ({ name, on, enabled })),
      services: settings.services.map(({ name, machine, unit, file }) => ({ name, machine_uid: machine, unit, file })),
    },
  };
}
