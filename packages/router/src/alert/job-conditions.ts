import type { GatewayUid, RotationTrouble } from '@sallyport/protocol';
import type { Condition } from './alert.ts';

/** What the router's jobs look like now. */
export interface WatchedJobs {
  readonly counts: readonly { readonly gateway: GatewayUid; readonly state: string; readonly count: number }[];
  readonly troubles: readonly {
    readonly gateway: GatewayUid | null;
    readonly what: RotationTrouble;
    readonly count: number;
  }[];
  /** Why schedules do not run; null: they do. */
  readonly stopped: { readonly why: string; readonly byMs: number } | null;
}

const troubleWords: Readonly<Record<RotationTrouble, string>> = {
  failed: 'whose last rotation failed',
  missed: 'whose scheduled rotation could not begin',
  late: 'whose scheduled rotation is over an hour late',
  after: 'for which not all that follows a rotation was done',
};

/**
 * Accounts that wait for a decision or that an older credential still opens, and records whose rotation is in trouble, by
 * gateway, and a timer that stands still. Pure.
 */
export function conditionsOfJobs({ counts, troubles, stopped }: WatchedJobs): readonly Condition[] {
  const needing = counts.flatMap(({ gateway, state, count }): Condition[] => {
    if (count === 0) return [];
    const one = { kind: 'needs-attention', gateway, instance: null } as const;
    if (state === 'attention') {
      const accounts = count === 1 ? '1 account needs' : `${count} accounts need`;
      const summary = `${accounts} a decision after a rotation through gateway ${gateway}: pam rotation list`;
      return [{ ...one, summary, detail: { why: 'rotation', count } }];
    }
    if (state !== 'leftover') return [];
    const accounts = count === 1 ? '1 account' : `${count} accounts`;
    const summary = `an older credential still opens ${accounts} of gateway ${gateway}: pam rotation list, pam action retire`;
    return [{ ...one, summary, detail: { why: 'rotation-leftover', count } }];
  });
  const troubled = troubles.map(({ gateway, what, count }): Condition => {
    const records = count === 1 ? '1 record' : `${count} records`;
    const at = gateway === null ? 'without a gateway' : `of gateway ${gateway}`;
    const summary = `${records} ${at} ${troubleWords[what]}: pam rotation list`;
    const detail = { why: `rotation-${what}`, count };
    return { kind: 'needs-attention', gateway, instance: null, summary, detail };
  });
  const told = [...needing, ...troubled];
  if (stopped === null) return told;
  const seconds = Math.round(stopped.byMs / 1_000);
  const summary = `schedules do not run: the clock of the router's machine is off by ${seconds} s (${stopped.why})`;
  const detail = { why: 'scheduler-stopped', seconds };
  return [...told, { kind: 'needs-attention', gateway: null, instance: null, summary, detail }];
}
