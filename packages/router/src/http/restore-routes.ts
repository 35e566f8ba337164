import {
  acceptOlder,
  giveBackEvents,
  giveBackLog,
  type Item,
  itemUidSchema,
  mostLostRevisions,
  PamError,
  readRestore,
  reopenLog,
} from '@sallyport/protocol';
import { readGivenBackEvent } from '../audit/index.ts';
import { type Binding, bindCaller } from './call.ts';
import type { RestoreDesk } from './restore-desk.ts';
import { checkItem, rightsToWrite } from '../vault/index.ts';
import type { LinkNews, RouterParts } from './router-parts.ts';

/** What was lost by a restore: given back, given up, and the end of it (docs/adr/0018-restore.md). */
export function restoreRoutes(parts: RouterParts, news: LinkNews, desk: RestoreDesk): Binding[] {
  const { store, trust, audit, clock, brakes } = parts;
  return [
    bindCaller(giveBackLog, async ({ body, caller }) => {
      brakes.giveBack.take(caller.device);
      return { head: await desk.giveBack(body.entries, { person: caller.person, device: caller.device }) };
    }),
    bindCaller(giveBackEvents, async ({ body, caller }) => {
      brakes.giveBack.take(caller.device);
      const key = trust.state().devices.get(caller.device)?.key;
      if (key === undefined) throw new PamError('PAM_DEVICE_UNKNOWN', 'this device is not in the trust log');
      const events = await Promise.all(
        body.events.map((jws) =>
          readGivenBackEvent(jws, { actor: caller.device, key, person: caller.person, nowMs: clock.nowMs() }),
        ),
      );
      audit.moved(await store.audit.appendEvents(audit.note(...events)));
      const last = events.at(-1)?.actor;
      return { seq: last?.seq ?? 0, hash: last?.hash ?? '' };
    }),
    bindCaller(readRestore, async () => {
      const { head } = trust.state();
      const state = await desk.state();
      return {
        restore: state === null ? null : { ...state, notBack: [...state.notBack] },
        head: { n: head.n, hash: head.hash },
      };
    }),
    bindCaller(reopenLog, async (call) => {
      const { event: _, ...asked } = call.body;
      const { incarnation, head, lastStart, ends } = asked;
      const event = await call.signed('trust.reopened', {
        ...{ incarnation, lastStart, ends },
        ...{ headN: head.n, headHash: head.hash },
      });
      return { head: await desk.reopen(asked, event) };
    }),
    bindCaller(acceptOlder, async (call) => {
      const uid = call.param('uid', itemUidSchema);
      const { parts: given, item: anew } = call.body;
      const stored = await store.vault.getItem({ uid });
      if (stored === null) throw new PamError('PAM_NOT_FOUND', `there is no item ${uid}`, { detail: { uid } });
      checkGivenUp(stored, given);
      const seen = given.find(({ part }) => part === 'facts')?.seen;
      if ((anew === undefined) !== (seen === undefined)) {
        throw new PamError(
          'PAM_BAD_REQUEST',
          'facts are given up with the facts that take their place, and not otherwise',
        );
      }
      if (anew !== undefined) {
        if (anew.uid !== uid || anew.parts.secrets !== undefined) {
          throw new PamError('PAM_BAD_REQUEST', 'only the facts of this item are written anew');
        }
        for (const right of rightsToWrite(anew)) call.need(right);
        checkItem(anew, trust.state());
      }
      const event = await call.signed('item.older-accepted', {
        item: uid,
        parts: given.map(({ part, seen: was, shown }) => `${part} ${was} -> ${shown}`),
      });
      const items = anew === undefined ? [] : [anew];
      const [, moved] = await store.together(
        (t) =>
          [
            t.vault.putItems({ items, author: call.caller.device, nowMs: clock.nowMs(), aboveFacts: seen ?? 0 }),
            t.audit.appendEvents(audit.note(event)),
          ] as const,
      );
      audit.moved(moved);
      news.changed([uid], stored.app);
      return { item: (await store.vault.getItem({ uid })) ?? stored };
    }),
  ];
}

/** @throws PAM_CONFLICT when the router has another revision than the device was shown, PAM_BAD_REQUEST for a jump that is too far. */
function checkGivenUp(
  stored: Item,
  given: readonly { readonly part: 'facts' | 'secrets'; readonly seen: number; readonly shown: number }[],
): void {
  for (const { part, seen, shown } of given) {
    const rev = stored.parts[part]?.rev ?? 0;
    if (rev !== shown) {
      throw new PamError('PAM_CONFLICT', `the ${part} of ${stored.uid} are at revision ${rev}, not ${shown}`);
    }
    if (seen < shown || seen - shown > mostLostRevisions) {
      throw new PamError('PAM_BAD_REQUEST', `revision ${seen} of the ${part} cannot have been seen before ${shown}`);
    }
  }
}
