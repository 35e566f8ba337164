import type { GatewayUid, InstanceId } from '@sallyport/protocol';
import type { Condition } from './alert.ts';

/** Why somebody should look at something; closed. */
type AttentionReason = 'instance-duplicate';

interface ReasonRule {
  readonly sentence: string;
  /** So many notes within so long: fewer have a harmless cause. */
  readonly times: number;
  readonly withinMs: number;
}

const rules: Readonly<Record<AttentionReason, ReasonRule>> = {
  // Once may be an instance that meets its own half-open link; a clone is refused twice before it begins anew (ADR 0013).
  'instance-duplicate': {
    sentence: 'two processes use one instance identity: a copied disk or state folder',
    times: 2,
    withinMs: 60_000,
  },
};

/** Notes of other parts that somebody is needed. What was noted often enough is current for `lastsMs` after the last. */
export interface AttentionDesk {
  note(
    why: AttentionReason,
    about: { readonly gateway: GatewayUid | null; readonly instance: InstanceId | null },
  ): void;
  current(): readonly Condition[];
}

interface Noted {
  readonly condition: Condition;
  readonly atMs: readonly number[];
  /** Null until it was noted often enough. */
  readonly untilMs: number | null;
}

const mostNoted = 200;

/** @param monotonicMs - clock of the notes. */
export function createAttentionDesk(lastsMs: number, monotonicMs: () => number): AttentionDesk {
  const desk = new Map<string, Noted>();
  return {
    note: (why, { gateway, instance }) => {
      const nowMs = monotonicMs();
      const { sentence, times, withinMs } = rules[why];
      const key = `${why}:${gateway}:${instance}`;
      const known = desk.get(key);
      const atMs = [...(known?.atMs ?? []).filter((at) => nowMs - at < withinMs), nowMs].slice(-times);
      const summary = `${sentence}${instance === null ? '' : ` (instance ${instance})`}`;
      const condition: Condition = { kind: 'needs-attention', gateway, instance, summary, detail: { why } };
      desk.delete(key);
      desk.set(key, { condition, atMs, untilMs: atMs.length >= times ? nowMs + lastsMs : (known?.untilMs ?? null) });
      for (const oldest of desk.keys()) {
        if (desk.size <= mostNoted) break;
        desk.delete(oldest);
      }
    },
    current: () => {
      const nowMs = monotonicMs();
      const noted = [...desk.values()];
      return noted.filter(({ untilMs }) => untilMs !== null && nowMs < untilMs).map(({ condition }) => condition);
    },
  };
}
