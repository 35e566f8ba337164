import { createHash } from 'node:crypto';
import { auditEventSchema, PamError } from '@sallyport/protocol';
import type { AuditStore, ChainHead, NewEvent } from '../../audit/index.ts';
import { type Act, type ActsOf, all, first, type Queries, run } from '../act.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64url');

/** Continues an actor's chain by compare-and-set on its number and hash. */
function* continueActor(q: Queries, actor: NonNullable<NewEvent['actor']>): Act<void> {
  if (actor.seq === 1 && actor.prev === '') {
    const added = yield* run(
      q.db
        .insertInto('actor_chain')
        .values({ actor: actor.id, seq: 1, hash: actor.hash })
        .onConflict((on) => on.doNothing()),
    );
    if (added === 1) return;
  } else {
    const moved = yield* run(
      q.db
        .updateTable('actor_chain')
        .set({ seq: actor.seq, hash: actor.hash })
        .where('actor', '=', actor.id)
        .where('seq', '=', actor.seq - 1)
        .where('hash', '=', actor.prev),
    );
    if (moved === 1) return;
  }
  const stored = yield* readActor(q, actor.id);
  throw new PamError(
    'PAM_AUDIT_SEQUENCE',
    `event ${actor.seq} does not continue the chain, which is at ${stored.seq}`,
    {
      detail: { actor: actor.id, seq: actor.seq, stored: stored.seq },
    },
  );
}

function* readActor(q: Queries, actor: string): Act<ChainHead> {
  const row = yield* first(q.db.selectFrom('actor_chain').select(['seq', 'hash']).where('actor', '=', actor));
  return row ?? { seq: 0, hash: '' };
}

/** Takes the chain's row for this transaction; makes it at the first event of a start. */
function* lockChain(q: Queries, router: string, start: number): Act<ChainHead> {
  yield* run(
    q.db
      .insertInto('audit_chain')
      .values({ router, start, seq: 0, hash: '', at_ms: 0 })
      .onConflict((on) => on.doNothing()),
  );
  const row = yield* first(
    q.db
      .updateTable('audit_chain')
      .set((of) => ({ seq: of('seq', '+', 0) }))
      .where('router', '=', router)
      .where('start', '=', start)
      .returning(['seq', 'hash']),
  );
  return row ?? { seq: 0, hash: '' };
}

export const auditActs: ActsOf<AuditStore> = {
  *appendEvents(q, input) {
    const { router, start } = input;
    for (const event of input.events) if (event.actor !== null) yield* continueActor(q, event.actor);
    let head = yield* lockChain(q, router, start);
    let atMs = 0;
    for (const event of input.events) {
      const { kind, body, actorEvent } = event;
      atMs = event.atMs;
      const seq = head.seq + 1;
      const prev = head.hash;
      const hash = sha256(JSON.stringify([router, start, seq, prev, atMs, kind, body, actorEvent]));
      yield* run(
        q.db
          .insertInto('audit_event')
          .values({ router, start, seq, prev, hash, at_ms: atMs, kind, body, actor_event: actorEvent }),
      );
      head = { seq, hash };
    }
    yield* run(
      q.db
        .updateTable('audit_chain')
        .set({ seq: head.seq, hash: head.hash, at_ms: atMs })
        .where('router', '=', router)
        .where('start', '=', start),
    );
    return head;
  },

  *headOfActor(q, input) {
    return yield* readActor(q, input.actor);
  },

  *listHeads(q) {
    const rows = yield* all(q.db.selectFrom('audit_chain').selectAll().orderBy('start', 'desc').limit(1_000));
    return rows.reverse().map(({ at_ms, ...row }) => ({ ...row, atMs: at_ms }));
  },

  *listEvents(q, input) {
    const newest = input.order === 'newest';
    let query = q.db.selectFrom('audit_event').selectAll();
    if (!newest || input.start > 0) {
      const beyond = newest ? '<' : '>';
      query = query.where((of) =>
        of.or([
          of('start', beyond, input.start),
          of.and([of('start', '=', input.start), of('seq', beyond, input.after)]),
        ]),
      );
    }
    const direction = newest ? 'desc' : 'asc';
    const rows = yield* all(
      query
        .orderBy('start', direction)
        .orderBy('seq', direction)
        .limit(input.limit + 1),
    );
    const events = rows
      .slice(0, input.limit)
      .map(({ at_ms, actor_event, ...row }) =>
        auditEventSchema.parse({ ...row, atMs: at_ms, actorEvent: actor_event }),
      );
    return { events, more: rows.length > events.length };
  },
};
