import type { AlertKind } from '@sallyport/protocol';
import { type Condition, type Firing, keyOf, type Telling } from './alert.ts';

/**
 * Alerts, as one synchronous step over what holds at each look.
 *
 *     (nothing) → pending → firing → quiet → (nothing)
 *
 * R1 an alert fires when its condition held at every look over its grace; one look without it begins the grace anew.
 * R2 it is resolved when its condition was away at every look over the hold; the hold doubles with each firing in the
 *    last hour, so that what flaps is told ever more seldom, and stays firing meanwhile.
 * R3 `firing`, then any number of `still-firing`, then `resolved`: in this order for each key.
 * R4 only time in which the router looked counts: a longer gap between two looks is a pause, and counts as one.
 * R5 nothing is judged until `quietMs` after the start: instances need that long to come back to a router.
 * R6 at most `mostAlerts` keys are followed; what comes later waits until one is over.
 *
 * @see docs/adr/0012-watching.md
 */
export interface AlertRules {
  readonly graceMs: Readonly<Record<AlertKind, number>>;
  readonly holdMs: number;
  readonly mostHoldMs: number;
  /** 0 = never. */
  readonly repeatMs: number;
  readonly quietMs: number;
  readonly pauseMs: number;
  readonly mostAlerts: number;
}

type Tracked = {
  /** Wall times of recent firings, oldest first. */
  readonly fires: readonly number[];
} & (
  | { readonly phase: 'pending'; readonly sinceMs: number; readonly sinceAtMs: number }
  | { readonly phase: 'firing'; readonly alert: Firing; readonly clearSinceMs: number | null }
  | { readonly phase: 'quiet' }
);

export interface AlertState {
  /** Time in which this router looked, ms. */
  readonly runningMs: number;
  /** Monotonic time of the last look. */
  readonly lookedAtMs: number;
  readonly tracked: ReadonlyMap<string, Tracked>;
}

/** One look at everything. */
export interface Look {
  readonly conditions: readonly Condition[];
  /** Is what a condition was about still there? Asked only when one is over. */
  readonly isThere: (condition: Condition) => boolean;
  readonly monotonicMs: number;
  readonly nowMs: number;
}

/** How long a firing counts for the hold. */
const recentMs = 3_600_000;

/** @param firing - what fired before the router started, and was not resolved. */
export function newAlertState(monotonicMs: number, firing: readonly Firing[] = []): AlertState {
  const tracked = firing.map((alert): [string, Tracked] => [
    keyOf(alert.condition),
    { phase: 'firing', alert, clearSinceMs: null, fires: [alert.firedAtMs] },
  ]);
  return { runningMs: 0, lookedAtMs: monotonicMs, tracked: new Map(tracked) };
}

/** What fires now, to be remembered over a restart. */
export function firingIn(state: AlertState): readonly Firing[] {
  return [...state.tracked.values()].flatMap((each) => (each.phase === 'firing' ? [each.alert] : []));
}

export function stepAlerts(
  state: AlertState,
  look: Look,
  rules: AlertRules,
): { readonly state: AlertState; readonly tell: readonly Telling[] } {
  const passedMs = Math.min(Math.max(0, look.monotonicMs - state.lookedAtMs), rules.pauseMs);
  const runningMs = state.runningMs + passedMs;
  if (runningMs < rules.quietMs) {
    return { state: { ...state, runningMs, lookedAtMs: look.monotonicMs }, tell: [] };
  }
  const tracked = new Map<string, Tracked>();
  const tell: Telling[] = [];
  const held = new Map(look.conditions.map((condition) => [keyOf(condition), condition]));
  const keep = (key: string, step: Step): void => {
    if (step.next !== null) tracked.set(key, step.next);
    if (step.tell !== null) tell.push(step.tell);
  };
  for (const [key, known] of state.tracked) {
    const condition = held.get(key);
    held.delete(key);
    keep(
      key,
      condition === undefined ? away(known, look, runningMs, rules) : holds(known, condition, look, runningMs, rules),
    );
  }
  for (const [key, condition] of held) {
    if (tracked.size >= rules.mostAlerts) break;
    const fresh: Tracked = { phase: 'pending', sinceMs: runningMs, sinceAtMs: look.nowMs, fires: [] };
    keep(key, holds(fresh, condition, look, runningMs, rules));
  }
  return { state: { runningMs, lookedAtMs: look.monotonicMs, tracked }, tell };
}

interface Step {
  readonly next: Tracked | null;
  readonly tell: Telling | null;
}

function holds(known: Tracked, condition: Condition, look: Look, runningMs: number, rules: AlertRules): Step {
  switch (known.phase) {
    case 'quiet': {
      const { fires } = known;
      return holds(
        { phase: 'pending', sinceMs: runningMs, sinceAtMs: look.nowMs, fires },
        condition,
        look,
        runningMs,
        rules,
      );
    }
    case 'pending': {
      if (runningMs - known.sinceMs < rules.graceMs[condition.kind]) return { next: known, tell: null };
      const { nowMs } = look;
      const alert: Firing = { condition, sinceAtMs: known.sinceAtMs, firedAtMs: nowMs, toldAtMs: nowMs };
      const fires = [...recent(known.fires, nowMs), nowMs];
      return { next: { phase: 'firing', alert, clearSinceMs: null, fires }, tell: telling(alert, 'firing') };
    }
    case 'firing': {
      const isDue = rules.repeatMs > 0 && look.nowMs - known.alert.toldAtMs >= rules.repeatMs;
      // As it was told: counts that change at each look are no reason to write the memory anew.
      const alert = isDue ? { ...known.alert, condition, toldAtMs: look.nowMs } : known.alert;
      return { next: { ...known, alert, clearSinceMs: null }, tell: isDue ? telling(alert, 'still-firing') : null };
    }
    default:
      return known satisfies never;
  }
}

function away(known: Tracked, look: Look, runningMs: number, rules: AlertRules): Step {
  if (known.phase !== 'firing') {
    const fires = recent(known.fires, look.nowMs);
    return { next: fires.length === 0 ? null : { phase: 'quiet', fires }, tell: null };
  }
  const clearSinceMs = known.clearSinceMs ?? runningMs;
  const again = Math.max(0, recent(known.fires, look.nowMs).length - 1);
  const holdMs = Math.min(rules.mostHoldMs, rules.holdMs * 2 ** again);
  if (runningMs - clearSinceMs < holdMs) return { next: { ...known, clearSinceMs }, tell: null };
  const resolution = look.isThere(known.alert.condition) ? 'cleared' : 'gone';
  const resolved: Telling = { ...telling(known.alert, 'resolved'), resolvedAtMs: look.nowMs, resolution };
  return { next: { phase: 'quiet', fires: known.fires }, tell: resolved };
}

function recent(fires: readonly number[], nowMs: number): readonly number[] {
  return fires.filter((at) => Math.abs(nowMs - at) < recentMs);
}

function telling(alert: Firing, status: Telling['status']): Telling {
  return { ...alert, status, resolvedAtMs: null, resolution: null };
}
