import {
  applicationUidSchema,
  createApplication,
  getItem,
  type Item,
  type ItemUid,
  itemHistory,
  itemUidSchema,
  listApplications,
  listItems,
  PamError,
  removeApplication,
  removeItem,
  writeItem,
} from '@sallyport/protocol';
import { entryOfKind } from '../identity/index.ts';
import { checkItem, checkNewApplication, rightsToWrite } from '../vault/index.ts';
import { type Binding, bindCaller } from './call.ts';
import type { LinkNews, RouterParts } from './router-parts.ts';

const pageItems = 200;
const mostApplications = 1_000;

async function itemOf(parts: RouterParts, uid: ItemUid): Promise<Item> {
  const item = await parts.store.vault.getItem({ uid });
  if (item === null) throw new PamError('PAM_NOT_FOUND', `there is no item ${uid}`, { detail: { uid } });
  return item;
}

function applicationRoutes(parts: RouterParts, news: LinkNews): Binding[] {
  const { store, trust, audit, clock } = parts;
  return [
    bindCaller(listApplications, async ({ caller }) => {
      const box = trust.state().persons.get(caller.person)?.boxKeyId;
      const { items } = await store.vault.listItems({
        types: ['application'],
        parts: 'facts',
        limit: mostApplications,
      });
      const wraps = box === undefined ? [] : await store.vault.listWraps({ recipients: [box] });
      const applications = items.map((item) => ({
        item,
        wraps: wraps.filter((wrap) => wrap.app === item.app).slice(0, 300),
      }));
      return { applications };
    }),
    bindCaller(createApplication, async (call) => {
      const { body, caller } = call;
      const { app } = entryOfKind(body.entries[0], 'application');
      entryOfKind(body.entries[1], 'generation');
      const event = await call.signed('application.created', { app });
      const head = await trust.append(body.entries, async (append, next) => {
        await checkNewApplication({ app, item: body.item, wraps: body.wraps }, next);
        const nowMs = clock.nowMs();
        const [to, , , moved] = await store.together(
          (t) =>
            [
              t.trust.appendEntries({ ...append, nowMs }),
              t.vault.putItems({ items: [body.item], author: caller.device, nowMs }),
              t.vault.putWraps({ wraps: body.wraps }),
              t.audit.appendEvents(audit.note(event)),
            ] as const,
        );
        audit.moved(moved);
        return to;
      });
      news.changed([body.item.uid], app);
      return { head };
    }),
    bindCaller(removeApplication, async (call) => {
      const uid = call.param('uid', applicationUidSchema);
      const { entry } = call.body;
      if (entryOfKind(entry, 'app-removed').app !== uid)
        throw new PamError('PAM_BAD_REQUEST', 'the entry removes another application');
      const event = await call.signed('application.removed', { app: uid });
      // After a restore the log may name an application whose facts are lost: then its entry is all there is to end.
      const isLost = (await store.vault.getItem({ uid: itemUidSchema.parse(uid) })) === null;
      const head = await trust.append([entry], async (append) => {
        const nowMs = clock.nowMs();
        const [to, moved] = await store.together(
          (t) =>
            [
              t.trust.appendEntries({ ...append, nowMs }),
              t.audit.appendEvents(audit.note(event)),
              ...(isLost ? [] : [t.vault.removeItem({ uid, nowMs })]),
            ] as const,
        );
        audit.moved(moved);
        return to;
      });
      news.changed([], null);
      return { head };
    }),
  ];
}

function itemRoutes(parts: RouterParts, news: LinkNews): Binding[] {
  const { store, trust, audit, clock } = parts;
  return [
    bindCaller(listItems, async ({ query }) => {
      const { app, type, after, parts: which, uids } = query;
      if (uids !== undefined) return { items: [...(await store.vault.getItems({ uids }))], more: false };
      const { items, more } = await store.vault.listItems({
        ...(app === undefined ? {} : { app }),
        ...(type === undefined ? {} : { types: [type] }),
        ...(after === undefined ? {} : { after }),
        parts: which,
        limit: pageItems,
      });
      return { items: [...items], more };
    }),
    bindCaller(getItem, async (call) => ({ item: await itemOf(parts, call.param('uid', itemUidSchema)) })),
    bindCaller(itemHistory, async (call) => {
      const versions = await store.vault.historyOf({ uid: call.param('uid', itemUidSchema) });
      if (versions.length === 0) throw new PamError('PAM_NOT_FOUND', 'there is no such item');
      return { versions: [...versions] };
    }),
    bindCaller(writeItem, async (call) => {
      const { item } = call.body;
      if (item.uid !== call.param('uid', itemUidSchema))
        throw new PamError('PAM_BAD_REQUEST', 'the path names another item');
      for (const right of rightsToWrite(item)) call.need(right);
      checkItem(item, trust.state());
      const born = item.parts.facts?.rev === 1;
      if (born && (item.type === 'application' || item.type === 'gateway')) {
        throw new PamError('PAM_BAD_REQUEST', `an item of type ${item.type} is made with its log entry, not alone`);
      }
      const event = await call.signed(born ? 'item.created' : 'item.changed', { item: item.uid, type: item.type });
      const [[written], moved] = await store.together(
        (t) =>
          [
            t.vault.putItems({ items: [item], author: call.caller.device, nowMs: clock.nowMs() }),
            t.audit.appendEvents(audit.note(event)),
          ] as const,
      );
      audit.moved(moved);
      news.changed([item.uid], item.app);
      return { item: written ?? (await itemOf(parts, item.uid)) };
    }),
    bindCaller(removeItem, async (call) => {
      const uid = call.param('uid', itemUidSchema);
      const item = await itemOf(parts, uid);
      if (item.type === 'application' || item.type === 'gateway') {
        throw new PamError('PAM_BAD_REQUEST', `an item of type ${item.type} is removed with its log entry, not alone`);
      }
      const event = await call.signed('item.removed', { item: uid, type: item.type });
      const [, moved] = await store.together(
        (t) => [t.vault.removeItem({ uid, nowMs: clock.nowMs() }), t.audit.appendEvents(audit.note(event))] as const,
      );
      audit.moved(moved);
      news.changed([uid], item.app);
      return {};
    }),
  ];
}

/** Applications and items. */
export function vaultRoutes(parts: RouterParts, news: LinkNews): Binding[] {
  return [...applicationRoutes(parts, news), ...itemRoutes(parts, news)];
}
