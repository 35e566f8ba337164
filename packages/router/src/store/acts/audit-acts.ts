import { createHash } from 'node:crypto';
import { auditEventSchema, PamError } from '@sallyport/protocol';
import type { AuditStore, ChainHead, NewEvent } from '../../audit/index.ts';
import { type Act, type ActsOf, all, first, prepared, type Queries, run } from '../act.ts';
import type { Database } from '../schema.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64url');

const moveActor = prepared((db, of: { actor: string; seq: number; hash: string; before: number; prev: string }) =>
  db
    .updateTable('actor_chain')
    .set({ seq: of.seq, hash: of.hash })
    .where('actor', '=', of.actor)
    .where('seq', '=', of.before)
    .where('hash', '=', of.prev),
);

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
      moveActor(q, { actor: actor.id, seq: actor.seq, hash: actor.hash, before: actor.seq - 1, prev: actor.prev }),
    );
    if (moved === 1) return;
  }
  const stored = yield* readActor(q, actor.id);
  throw new PamError(
    'PAM_AUDIT_SEQUENCE',
    `event ${actor.seq} does not continue the chain, which is at ${stored.seq}`,
    {
      detail: { actor: actor.id, seq: actor.seq, stored: stored.seq, storedHash: stored.hash },
    },
  );
}

function* readActor(q: Queries, actor: string): Act<ChainHead> {
  const row = yield* first(q.db.selectFrom('actor_chain').select(['seq', 'hash']).where('actor', '=', actor));
  return row ?? { seq: 0, hash: '' };
}

type ChainKey = Pick<Database['audit_chain'], 'router' | 'start'>;
const chainOf = prepared((db, of: ChainKey) =>
  db.selectFrom('audit_chain').select(['seq', 'hash']).where('router', '=', of.router).where('start', '=', of.start),
);
const lockedChain = prepared((db, of: ChainKey) =>
  db
    .updateTable('audit_chain')
    .set((row) => ({ seq: row('seq', '+', 0) }))
    .where('router', '=', of.router)
    .where('start', '=', of.start)
    .returning(['seq', 'hash']),
);
const moveChain = prepared((db, row: Database['audit_chain']) =>
  db
    .updateTable('audit_chain')
    .set({ seq: row.seq, hash: row.hash, at_ms: row.at_ms })
    .where('router', '=', row.router)
    .where('start', '=', row.start),
);
const putEvent = prepared((db, row: Database['audit_event']) =>
  db.insertInto('audit_event').values({
    ...{ router: row.router, start: row.start, seq: row.seq, prev: row.prev, hash: row.hash },
    ...{ at_ms: row.at_ms, kind: row.kind, body: row.body, actor_event: row.actor_event },
  }),
);

/** Takes the chain's row for this transaction; makes it at the first event of a start. On SQLite the whole file is taken. */
function* lockChain(q: Queries, router: string, start: number): Act<ChainHead> {
  const known = q.engine === 'sqlite' ? yield* first(chainOf(q, { router, start })) : undefined;
  if (known !== undefined) return known;
  yield* run(
    q.db
      .insertInto('audit_chain')
      .values({ router, start, seq: 0, hash: '', at_ms: 0 })
      .onConflict((on) => on.doNothing()),
  );
  return (yield* first(lockedChain(q, { router, start }))) ?? { seq: 0, hash: '' };
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
      yield* run(putEvent(q, { router, start, seq, prev, hash, at_ms: atMs, kind, body, actor_event: actorEvent }));
      head = { seq, hash };
    }
    yield* run(moveChain(q, { router, start, seq: head.seq, hash: head.hash, at_ms: atMs }));
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
