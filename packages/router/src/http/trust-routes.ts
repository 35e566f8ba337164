import { appendLog, readLog } from '@sallyport/protocol';
import { peekEntry } from '@sallyport/seal';
import { checkPlainEntry } from '../identity/index.ts';
import { type Binding, bindCaller } from './call.ts';
import type { LinkNews, RouterParts } from './router-parts.ts';

/** Reading the trust log, and entries that come alone. */
export function trustRoutes(parts: RouterParts, news: LinkNews): Binding[] {
  const { store, trust, audit, clock } = parts;
  return [
    bindCaller(readLog, async ({ query }) => trust.read(query.from)),
    bindCaller(appendLog, async ({ body, caller }) => {
      const { n } = peekEntry(body.entry);
      const [stored] = await store.trust.listEntries({ from: n, limit: 1 });
      const known = trust.head();
      // Asked again after a lost answer.
      if (stored?.entry === body.entry && known !== null) return { head: known };
      checkPlainEntry(body.entry, caller, trust.state());
      const head = await trust.append([body.entry], async (append) => {
        const event = audit.event('trust.appended', {
          person: caller.person,
          device: caller.device,
          entry: n,
          kind: peekEntry(body.entry).kind,
        });
        const [to, moved] = await store.together(
          (t) =>
            [
              t.trust.appendEntries({ ...append, nowMs: clock.nowMs() }),
              t.audit.appendEvents(audit.note(event)),
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
