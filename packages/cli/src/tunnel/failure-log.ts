/**
 * Keeps what a tunnel says of failed connections readable: each cause is said at once when it is new, then counted, and
 * the count is said every 30 s for as long as it grows. A flood of connections is a few lines, not one each.
 */
export const failureLogLimits = { everyMs: 30_000, causes: 32 } as const;

interface Cause {
  readonly key: string;
  /** As it was said first. */
  readonly text: string;
  readonly uncounted: number;
  readonly saidAtMs: number;
}

export interface FailureLog {
  readonly causes: readonly Cause[];
}

export const newFailureLog: FailureLog = { causes: [] };

/** One line to print. */
export type FailureLine =
  | { readonly kind: 'first'; readonly text: string }
  | { readonly kind: 'more'; readonly text: string; readonly count: number; readonly withinMs: number };

interface FailureStep {
  readonly state: FailureLog;
  readonly lines: readonly FailureLine[];
}

/**
 * A connection failed. `key` is what makes two failures the same: code and message, not who connected.
 *
 * At most 32 causes are told apart; one that is new beyond that takes the place of the one said longest ago.
 */
export function failed(
  state: FailureLog,
  failure: { readonly key: string; readonly text: string },
  nowMs: number,
): FailureStep {
  const due = remind(state, nowMs);
  const known = due.state.causes.find((cause) => cause.key === failure.key);
  if (known !== undefined) {
    const counted = { ...known, uncounted: known.uncounted + 1 };
    return { ...due, state: { causes: due.state.causes.map((cause) => (cause === known ? counted : cause)) } };
  }
  const fresh: Cause = { key: failure.key, text: failure.text, uncounted: 0, saidAtMs: nowMs };
  const kept = due.state.causes.slice(-(failureLogLimits.causes - 1));
  const gone = due.state.causes.filter((cause) => !kept.includes(cause));
  const last = gone.filter((cause) => cause.uncounted > 0).map((cause) => countLine(cause, nowMs));
  return { state: { causes: [...kept, fresh] }, lines: [...due.lines, ...last, { kind: 'first', text: failure.text }] };
}

/** Says counts that are due, and forgets causes that did not come again. */
export function remind(state: FailureLog, nowMs: number): FailureStep {
  const lines: FailureLine[] = [];
  const causes: Cause[] = [];
  for (const cause of state.causes) {
    const withinMs = nowMs - cause.saidAtMs;
    if (withinMs < failureLogLimits.everyMs) causes.push(cause);
    else if (cause.uncounted > 0) {
      lines.push(countLine(cause, nowMs));
      causes.push({ ...cause, uncounted: 0, saidAtMs: nowMs });
    }
  }
  return { state: { causes }, lines };
}

function countLine(cause: Cause, nowMs: number): FailureLine {
  return { kind: 'more', text: cause.text, count: cause.uncounted, withinMs: nowMs - cause.saidAtMs };
}
