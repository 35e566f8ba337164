import { PamError } from '@sallyport/protocol';
import { type SigningKey, signHead } from '@sallyport/seal';
import type { AuditStore, ChainHead, NewEvent } from './audit-store.ts';

/** Fields of an event; UIDs, ids, codes, counts, addresses of callers: never titles, targets or secrets. */
export type EventBody = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

/**
 * This router's own chain of events since this start.
 *
 * A1 what is acknowledged was written: `note` hands an event to the transaction of its effect; `later` is for events
 *    whose effect needs no acknowledgement and is written within a tenth of a second, with those of the same time.
 * A2 the head handed out is signed, and never older than an event acknowledged before.
 */
export interface AuditTrail {
  readonly router: string;
  readonly start: number;
  /** Input of `appendEvents` for the transaction of an effect; pass the head it answers to `moved`. */
  note(...events: readonly NewEvent[]): { router: string; start: number; events: readonly NewEvent[] };
  moved(head: ChainHead): void;
  later(kind: string, body: EventBody): void;
  /** An event without a signed one of an actor. */
  event(kind: string, body: EventBody): NewEvent;
  /** Events handed to `later` that are not stored yet. */
  waiting(): number;
  /** Resolves when everything handed to `later` so far is stored. */
  flush(): Promise<void>;
  /** The newest head, signed by the router's key. */
  signedHead(): Promise<string>;
  /** One signed head per start of the router, newest last. */
  signedHeads(): Promise<string[]>;
}

export interface AuditTrailDeps {
  readonly store: AuditStore;
  /** Pin of the router's key. */
  readonly router: string;
  readonly start: number;
  readonly key: SigningKey;
  readonly nowMs: () => number;
  readonly after: (ms: number, fn: () => void) => () => void;
  readonly failed: (error: unknown) => void;
}

const batchEvents = 200;
/** Events that wait while the store is away; over it the oldest decisions are lost and that is logged. */
const waitingEvents = 20_000;
const gatherMs = 50;
const retryMs = 500;

export function createAuditTrail(deps: AuditTrailDeps): AuditTrail {
  const { store, router, start } = deps;
  let head: ChainHead = { seq: 0, hash: '' };
  let signed: { readonly seq: number; readonly jws: Promise<string> } | null = null;
  let waiting: NewEvent[] = [];
  let writing: Promise<void> | null = null;

  const moved = (to: ChainHead): void => {
    if (to.seq > head.seq) head = to;
  };
  const event = (kind: string, body: EventBody): NewEvent => ({
    atMs: deps.nowMs(),
    kind,
    body: JSON.stringify(body),
    actorEvent: null,
    actor: null,
  });
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      deps.after(ms, resolve);
    });

  async function write(): Promise<void> {
    await pause(gatherMs);
    while (waiting.length > 0) {
      const batch = waiting.slice(0, batchEvents);
      try {
        moved(await store.appendEvents({ router, start, events: batch }));
        waiting = waiting.slice(batch.length);
      } catch (reason) {
        deps.failed(reason);
        await pause(retryMs);
      }
    }
  }
  function startWriting(): Promise<void> {
    writing ??= write().finally(() => {
      writing = null;
    });
    return writing;
  }

  return {
    router,
    start,
    note: (...events) => ({ router, start, events }),
    moved,
    event,
    later: (kind, body) => {
      if (waiting.length >= waitingEvents) {
        deps.failed(
          new PamError('PAM_STORE_AWAY', `the audit log cannot be written; an event of kind ${kind} is lost`),
        );
        return;
      }
      waiting.push(event(kind, body));
      void startWriting();
    },
    waiting: () => waiting.length,
    flush: async () => {
      if (waiting.length > 0) await startWriting();
    },
    signedHead: () => {
      if (signed?.seq !== head.seq) {
        const at = Math.floor(deps.nowMs() / 1_000);
        signed = { seq: head.seq, jws: signHead({ router, start, seq: head.seq, hash: head.hash, at }, deps.key) };
      }
      return signed.jws;
    },
    signedHeads: async () => {
      const heads = await store.listHeads({});
      return Promise.all(
        heads.map((each) =>
          signHead(
            {
              router: each.router,
              start: each.start,
              seq: each.seq,
              hash: each.hash,
              at: Math.floor(each.atMs / 1_000),
            },
            deps.key,
          ),
        ),
      );
    },
  };
}
