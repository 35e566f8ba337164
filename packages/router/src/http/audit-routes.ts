import { actorHead, readAudit } from '@sallyport/protocol';
import { type Binding, bindCaller } from './call.ts';
import type { RouterParts } from './router-parts.ts';

/** Reading the audit log, and where the caller's own chain of signed events ends. */
export function auditRoutes(parts: RouterParts): Binding[] {
  const { store, audit } = parts;
  return [
    bindCaller(readAudit, async ({ query }) => {
      await audit.flush();
      const { events, more } = await store.audit.listEvents(query);
      return { events: [...events], more, heads: await audit.signedHeads() };
    }),
    bindCaller(actorHead, async ({ caller }) => store.audit.headOfActor({ actor: caller.device })),
  ];
}
