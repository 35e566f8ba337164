import type { InstanceId, MembershipView } from '@sallyport/protocol';
import type { EventBody } from '../audit/index.ts';
import type { Clock } from '../clock.ts';
import type { PoolEffects, PoolService } from '../pool/index.ts';
import { linkClose } from './link.ts';
import type { LinkTable } from './link-table.ts';
import { wantedIntent } from './wanted-intent.ts';
import type { Whereabouts } from './whereabouts.ts';

/** What the pool's decisions come to on the links. */
export function createPoolEffects(deps: {
  readonly table: LinkTable;
  readonly clock: Clock;
  readonly whereabouts: Whereabouts;
  readonly pool: () => PoolService | undefined;
  readonly note: (kind: string, body: EventBody) => void;
  /** An instance is gone for good: what ran on it has ended. */
  readonly lose: (instance: InstanceId) => void;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, string | number>) => void;
}): PoolEffects {
  const { clock, whereabouts, note, lose, log } = deps;
  const { links } = deps.table;
  return {
    tell: (id, membership: MembershipView) => {
      const link = links.get(id);
      const member = link?.member();
      if (link === undefined) return;
      void link.tell(membership).then((acknowledged) => {
        if (!acknowledged || membership.kind !== 'slot') return;
        deps.pool()?.acknowledged(id, membership.epoch);
        if (member)
          note('instance.promoted', { gateway: member.gateway, instance: member.instance, epoch: membership.epoch });
      });
    },
    intend: (id, intent) => links.get(id)?.intend(wantedIntent(intent, clock.nowMs())),
    cut: (id, error) => {
      const link = links.get(id);
      // Not in the pool's own turn: its registers are being changed.
      if (link !== undefined) clock.after(0, () => link.cut(linkClose.replaced, error));
    },
    lost: (gateway, instance) => {
      whereabouts.lost(instance);
      note('instance.lost', { gateway, instance });
      lose(instance);
    },
    duplicate: (instance, keptLink, refusedLink) => {
      const kept = links.get(keptLink)?.address ?? 'gone';
      const refused = links.get(refusedLink)?.address ?? 'gone';
      links.get(keptLink)?.peer.notify('link.duplicate', { from: refused, atMs: clock.nowMs() });
      note('instance.duplicate', { instance, kept, refused });
      log('warn', 'two processes use one instance identity', { instance, kept, refused });
    },
    ejected: ({ gateway, instance, resource }, how) => {
      if (how === null) return log('info', 'instance reaches the target again', { gateway, instance, resource });
      const seconds = Math.round(how.forMs / 1_000);
      log('warn', 'instance cannot reach a target that another reaches: passed over for it', {
        ...{ gateway, instance, resource, seconds },
        times: how.times,
      });
    },
    failed: (error) => log('error', 'the pool could not be stored', { code: error.code, error: error.message }),
  };
}
