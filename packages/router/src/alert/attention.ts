import type { GatewayUid, InstanceId } from '@sallyport/protocol';
import type { Condition } from './alert.ts';

/** Why somebody should look at something; closed. */
type AttentionReason = 'instance-duplicate';

const sentences: Record<AttentionReason, string> = {
  'instance-duplicate': 'two processes use one instance identity: a copied disk or state folder',
};

/** Notes of other parts that somebody is needed. A note is current for `lastsMs`; noted again, it stays. */
export interface AttentionDesk {
  note(
    why: AttentionReason,
    about: { readonly gateway: GatewayUid | null; readonly instance: InstanceId | null },
  ): void;
  current(): readonly Condition[];
}

const mostNotes = 200;

/** @param monotonicMs - clock of the notes. */
export function createAttentionDesk(lastsMs: number, monotonicMs: () => number): AttentionDesk {
  const notes = new Map<string, { readonly condition: Condition; readonly untilMs: number }>();
  return {
    note: (why, { gateway, instance }) => {
      const key = `${why}:${gateway}:${instance}`;
      const summary = `${sentences[why]}${instance === null ? '' : ` (instance ${instance})`}`;
      const condition: Condition = { kind: 'needs-attention', gateway, instance, summary, detail: { why } };
      notes.delete(key);
      notes.set(key, { condition, untilMs: monotonicMs() + lastsMs });
      for (const oldest of notes.keys()) {
        if (notes.size <= mostNotes) break;
        notes.delete(oldest);
      }
    },
    current: () => {
      const nowMs = monotonicMs();
      for (const [key, { untilMs }] of notes) if (untilMs <= nowMs) notes.delete(key);
      return [...notes.values()].map(({ condition }) => condition);
    },
  };
}
