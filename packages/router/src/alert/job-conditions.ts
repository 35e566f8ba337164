import type { GatewayUid } from '@sallyport/protocol';
import type { Condition } from './alert.ts';

/** What the router's jobs look like now. */
export interface WatchedJobs {
  readonly counts: readonly { readonly gateway: GatewayUid; readonly state: string; readonly count: number }[];
  /** Why schedules do not run; null: they do. */
  readonly stopped: { readonly why: string; readonly byMs: number } | null;
}

/** Accounts that wait for a decision, by gateway, and a timer that stands still. Pure. */
export function conditionsOfJobs({ counts, stopped }: WatchedJobs): readonly Condition[] {
  const needing = counts.flatMap(({ gateway, state, count }): Condition[] => {
    if (state !== 'attention' || count === 0) return [];
    const accounts = count === 1 ? '1 account needs' : `${count} accounts need`;
    const summary = `${accounts} a decision after a rotation through gateway ${gateway}: pam rotation list`;
    return [{ kind: 'needs-attention', gateway, instance: null, summary, detail: { why: 'rotation', count } }];
  });
  if (stopped === null) return needing;
  const seconds = Math.round(stopped.byMs / 1_000);
  const summary = `schedules do not run: the clock of the router's machine is off by ${seconds} s (${stopped.why})`;
  const detail = { why: 'scheduler-stopped', seconds };
  return [...needing, { kind: 'needs-attention', gateway: null, instance: null, summary, detail }];
}
