import {
  type AuditChainEnd,
  type Head,
  type InstanceId,
  itemUidSchema,
  mostAuditEnds,
  PamError,
} from '@sallyport/protocol';
import { digestOf, peekEntry } from '@sallyport/seal';
import type { EventBody, NewEvent } from '../audit/index.ts';
import type { Call, PortCalls } from '../store/index.ts';
import {
  checkGivenBackKinds,
  effectsOf,
  type EntryEffect,
  notBack,
  type RestoreMark,
  restoreSettings,
} from '../trust/index.ts';
import type { LinkNews, RouterParts } from './router-parts.ts';

/** What the router does about what it lost by a restore (docs/adr/0018-restore.md). */
export interface RestoreDesk {
  /**
   * Takes entries of the trust log that were lost and does what they say. `by`: who gave them, for the audit log.
   *
   * @throws PAM_TRUST_LOG_MOVED, PAM_TRUST_FORKED, PAM_TRUST_ENTRY_INVALID: nothing was stored then.
   */
  giveBack(entries: readonly string[], by: EventBody): Promise<Head>;
  /** An instance said hello. */
  cameBack(instance: InstanceId): void;
  state(): Promise<RestoreState | null>;
  /** Takes new entries from here on, with the event of who said so. @throws PAM_CONFLICT, PAM_TRUST_LOG_MOVED */
  reopen(asked: ReopenAsked, event: NewEvent): Promise<Head>;
}

interface RestoreState {
  readonly incarnation: number;
  readonly atMs: number;
  readonly closed: boolean;
  readonly before: Head;
  readonly lastStart: number;
  readonly ends: AuditChainEnd[];
  readonly notBack: RestoreMark['members'];
  readonly withoutSettings: string[];
}

interface ReopenAsked {
  readonly incarnation: number;
  readonly head: Head;
  readonly lastStart: number;
  readonly ends: string;
}

/** The mark of the store, as this process holds it: what it says to the trust log changes with `set`. */
export interface MarkHolder {
  now(): RestoreMark | null;
  set(mark: RestoreMark): void;
}

const mostNamed = 1_000;

/** What belongs into the transaction of the entry. */
function callsOf(t: PortCalls, effect: EntryEffect, nowMs: number): Call<unknown>[] {
  switch (effect.kind) {
    case 'rekey':
      return [
        t.pool.rekeyGateway({ uid: effect.gateway, nowMs }),
        t.vault.dropWraps({ recipient: effect.formerBoxKeyId }),
      ];
    case 'remove-gateway':
      return [t.pool.removeGateway({ uid: effect.gateway, nowMs })];
    case 'remove-item':
      return [];
    default:
      return effect satisfies never;
  }
}

export function createRestoreDesk(
  parts: Pick<RouterParts, 'store' | 'trust' | 'audit' | 'pool' | 'clock'>,
  news: LinkNews,
  mark: MarkHolder,
  log: (message: string, fields: Record<string, string | number>) => void,
): RestoreDesk {
  const { store, trust, audit, pool, clock } = parts;
  const back = new Set<InstanceId>();

  /** The item of something that the log removed; it may be gone, or others may still name it: the log is what counts. */
  async function removeItem(uid: string): Promise<void> {
    try {
      await store.vault.removeItem({ uid: itemUidSchema.parse(uid), nowMs: clock.nowMs() });
    } catch (reason) {
      if (!(reason instanceof PamError)) throw reason;
      if (reason.code !== 'PAM_NOT_FOUND') log('an item that the trust log removed stays', { uid, code: reason.code });
    }
  }

  async function giveBack(entries: readonly string[], by: EventBody): Promise<Head> {
    checkGivenBackKinds(entries);
    const first = peekEntry(entries[0] ?? '').n;
    const effects = await trust.giveBack(entries, async (append) => {
      const found = effectsOf(entries, trust.state(), (gateway) => pool.view(gateway) !== null);
      const nowMs = clock.nowMs();
      const kinds = [...new Set(entries.map((entry) => peekEntry(entry).kind))];
      const event = audit.event('trust.given-back', { ...by, first, last: first + entries.length - 1, kinds });
      const [, moved] = await store.together(
        (t) =>
          [
            t.trust.appendEntries({ ...append, nowMs }),
            t.audit.appendEvents(audit.note(event)),
            ...found.flatMap((effect) => callsOf(t, effect, nowMs)),
          ] as const,
      );
      audit.moved(moved);
      return found;
    });
    for (const effect of effects) {
      switch (effect.kind) {
        case 'rekey': {
          news.gatewayRekeyed(effect.gateway);
          const snapshot = await store.pool.readPool({ gateway: effect.gateway });
          if (snapshot !== null) pool.gatewayRekeyed(snapshot);
          break;
        }
        case 'remove-gateway':
          news.gatewayRemoved(effect.gateway);
          pool.gatewayRemoved(effect.gateway);
          break;
        case 'remove-item':
          await removeItem(effect.uid);
          break;
        default:
          effect satisfies never;
      }
    }
    news.changed([], null);
    const { head } = trust.state();
    log('entries of the trust log were given back', { first, last: first + entries.length - 1 });
    return { n: head.n, hash: head.hash };
  }

  async function endsBefore(lastStart: number): Promise<AuditChainEnd[]> {
    const heads = await store.audit.listHeads({});
    return heads
      .filter(({ start, seq }) => start <= lastStart && seq > 0)
      .slice(-mostAuditEnds)
      .map(({ start, seq, hash }): AuditChainEnd => [start, seq, hash]);
  }

  /** In the log, and not removed; but what belongs to it beside the log is not here. */
  async function withoutSettings(): Promise<string[]> {
    const state = trust.state();
    const apps = [...state.apps.values()].filter((app) => !app.removed).map(({ uid }) => uid);
    const items = await store.vault.getItems({
      uids: apps.slice(0, mostNamed).map((uid) => itemUidSchema.parse(uid)),
    });
    const known = new Set(items.map((item) => item.uid as string));
    const gateways = [...state.gateways.values()].filter((gateway) => !gateway.removed);
    const wraps = await store.vault.listWraps({ recipients: gateways.map(({ boxKeyId }) => boxKeyId) });
    const wrapped = new Set(wraps.map(({ recipient }) => recipient));
    return [
      ...apps.filter((uid) => !known.has(uid)),
      ...gateways
        .filter(({ uid, boxKeyId }) => pool.view(uid) === null || !wrapped.has(boxKeyId))
        .map(({ uid }) => uid),
    ].slice(0, mostNamed);
  }

  return {
    giveBack,
    cameBack: (instance) => {
      if (mark.now()?.closed === true) back.add(instance);
    },
    state: async () => {
      const found = mark.now();
      if (found === null) return null;
      const { members: _, ...rest } = found;
      return {
        ...rest,
        ends: await endsBefore(found.lastStart),
        notBack: notBack(found, back),
        withoutSettings: await withoutSettings(),
      };
    },
    reopen: async (asked, event) => {
      const found = mark.now();
      if (found?.closed !== true || found.incarnation !== asked.incarnation || found.lastStart !== asked.lastStart) {
        throw new PamError('PAM_CONFLICT', 'the router does not wait for this', { remedy: 'Look again.' });
      }
      if (asked.ends !== (await digestOf(await endsBefore(found.lastStart)))) {
        throw new PamError('PAM_CONFLICT', 'the audit log does not end where it was said', { remedy: 'Look again.' });
      }
      const { head } = trust.state();
      if (head.n !== asked.head.n || head.hash !== asked.head.hash) {
        throw new PamError('PAM_TRUST_LOG_MOVED', `the trust log stands at entry ${head.n}`, {
          detail: { head: head.n, entry: asked.head.n },
        });
      }
      const next = { ...found, closed: false };
      const [, moved] = await store.together(
        (t) =>
          [
            t.identity.writeSetting({ key: restoreSettings.mark, value: JSON.stringify(next) }),
            t.audit.appendEvents(audit.note(event)),
          ] as const,
      );
      audit.moved(moved);
      mark.set(next);
      log('the trust log takes new entries again', { head: head.n });
      return { n: head.n, hash: head.hash };
    },
  };
}
