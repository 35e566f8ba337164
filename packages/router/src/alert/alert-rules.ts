import { type AlertKind, alertKinds } from '@sallyport/protocol';
import type { AlertRules } from './step-alerts.ts';

/** How long each condition has to last, ms; the remedy for most is a restart that takes less. */
const usualGraceMs: Readonly<Record<AlertKind, number>> = {
  'gateway-offline': 60_000,
  'gateway-over-limit': 60_000,
  'member-suspect': 30_000,
  'pool-full': 300_000,
  'needs-attention': 0,
};
const usualHoldMs = 30_000;
/** An instance redials with full jitter up to this. */
const redialMaxMs = 10_000;

export interface AlertTimes {
  /** For every kind but `needs-attention`; null = each its own. */
  readonly graceMs: number | null;
  /** 0 = an alert that goes on is not told again. */
  readonly repeatMs: number;
}

/** @param restartGraceMs - RG: how long a starting router keeps the places of absent members. */
export function alertRules(times: AlertTimes, restartGraceMs: number): AlertRules {
  const graceOf = (kind: AlertKind): number =>
    kind === 'needs-attention' || times.graceMs === null ? usualGraceMs[kind] : times.graceMs;
  return {
    graceMs: Object.fromEntries(alertKinds.map((kind) => [kind, graceOf(kind)])) as Record<AlertKind, number>,
    holdMs: Math.min(usualHoldMs, Math.max(1_000, times.graceMs ?? usualHoldMs)),
    mostHoldMs: 900_000,
    repeatMs: times.repeatMs,
    quietMs: restartGraceMs + redialMaxMs,
    pauseMs: 5_000,
    mostAlerts: 500,
  };
}
