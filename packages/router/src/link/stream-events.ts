import { type InstanceId, type LinkParams, PamError } from '@sallyport/protocol';
import { type PublicJwk, thumbprint } from '@sallyport/seal';
import {
  type AuditStore,
  type AuditTrail,
  type ChainHead,
  checkActorEvent,
  type EventBody,
  type NewEvent,
} from '../audit/index.ts';
import type { SessionService, StreamChange } from '../session/index.ts';

export interface AcceptEventsDeps {
  readonly audit: AuditTrail;
  readonly auditStore: AuditStore;
  readonly nowMs: () => number;
  /** One transaction: the instance's signed event and what it changes. */
  readonly commit: (changes: readonly StreamChange[], event: NewEvent) => Promise<ChainHead>;
}

/** What instances say happened to streams, each batch under a signed event of the instance's own chain. */
export interface AcceptEvents {
  /** Key of an instance, proved in its hello. */
  know(instance: InstanceId, key: PublicJwk): void;
  /**
   * Stores a batch; the same batch sent again after a lost answer changes nothing.
   *
   * @throws PAM_PROOF_INVALID, PAM_AUDIT_SEQUENCE with `detail.stored` and `detail.storedHash`: continue from there.
   */
  accept(instance: InstanceId, params: LinkParams<'stream.events'>, sessions: SessionService): Promise<void>;
  /**
   * Any other event that the instance signed, checked; null: it is the last of its chain already, an answer was lost.
   *
   * @throws PAM_PROOF_INVALID, PAM_AUDIT_SEQUENCE as above.
   */
  signedBy(instance: InstanceId, signed: string, of: SignedWords): Promise<NewEvent | null>;
}
interface SignedWords {
  readonly act: string;
  /** What the digest covers. */
  readonly content: unknown;
  readonly kind: string;
  readonly body: EventBody;
}

/** Keys of instances that were here since the start; the oldest goes when there are more. */
const rememberedKeys = 50_000;

export function createAcceptEvents(deps: AcceptEventsDeps): AcceptEvents {
  const keys = new Map<InstanceId, PublicJwk>();
  /**
   * Where a chain stands if what was let through last was stored. Good for letting the next one through, which is compared
   * again where it is stored; for nothing else.
   */
  const expected = new WeakMap<PublicJwk, ChainHead>();

  async function read(
    instance: InstanceId,
    signed: string,
    of: SignedWords,
  ): Promise<{ event: NewEvent; key: PublicJwk }> {
    const key = keys.get(instance);
    if (key === undefined)
      throw new PamError('PAM_INSTANCE_REFUSED', 'say link.hello first', { detail: { why: 'no-hello' } });
    // The chain is the key's: its whole thumbprint, of which the instance id is the beginning.
    const actor = await thumbprint(key);
    return { event: await checkActorEvent(signed, { ...of, actor, key, nowMs: deps.nowMs() }), key };
  }

  async function check(
    instance: InstanceId,
    signed: string,
    of: SignedWords,
  ): Promise<{ event: NewEvent; stored: ChainHead; isLast: boolean }> {
    const { event, key } = await read(instance, signed, of);
    return compare(event, key);
  }

  async function compare(
    event: NewEvent,
    key: PublicJwk,
  ): Promise<{ event: NewEvent; stored: ChainHead; isLast: boolean }> {
    const stored = await deps.auditStore.headOfActor({ actor: await thumbprint(key) });
    const isLast = event.actor?.seq === stored.seq && event.actor.hash === stored.hash;
    return { event, stored, isLast };
  }

  return {
    know: (instance, key) => {
      keys.delete(instance);
      keys.set(instance, key);
      const [oldest] = keys.size > rememberedKeys ? keys.keys() : [];
      if (oldest !== undefined) keys.delete(oldest);
    },
    signedBy: async (instance, signed, of) => {
      const { event, key } = await read(instance, signed, of);
      const { actor } = event;
      if (actor === null) throw new PamError('PAM_INTERNAL', 'an event of an instance without its chain');
      const next = { seq: actor.seq, hash: actor.hash };
      const before = expected.get(key);
      if (before === undefined || actor.seq !== before.seq + 1 || actor.prev !== before.hash) {
        const { stored, isLast } = await compare(event, key);
        if (isLast) return null;
        const isNext = actor.seq === stored.seq + 1 && (actor.prev === stored.hash || stored.seq === 0);
        if (!isNext) throw outOfStep(event, stored);
      }
      expected.set(key, next);
      return event;
    },
    accept: async (instance, { events, signed }, sessions) => {
      const { event, stored, isLast } = await check(instance, signed, {
        act: 'stream.events',
        content: events,
        kind: 'stream.events',
        body: { instance, opened: events.filter((each) => each.event === 'opened').length, events: events.length },
      });
      if (isLast) return;
      const changes = await sessions.accept(instance, events);
      try {
        deps.audit.moved(await deps.commit(changes, event));
      } catch (reason) {
        if (!(reason instanceof PamError) || reason.code !== 'PAM_AUDIT_SEQUENCE') throw reason;
        throw new PamError('PAM_AUDIT_SEQUENCE', reason.message, {
          cause: reason,
          detail: { ...reason.detail, stored: stored.seq, storedHash: stored.hash },
        });
      }
    },
  };
}

/** Where the chain goes on. */
function outOfStep(event: NewEvent, stored: ChainHead): PamError {
  return new PamError('PAM_AUDIT_SEQUENCE', `event ${event.actor?.seq ?? 0} does not continue the chain`, {
    detail: { seq: event.actor?.seq ?? 0, stored: stored.seq, storedHash: stored.hash },
  });
}
