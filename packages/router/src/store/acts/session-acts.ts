import {
  type EndReason,
  endReasonSchema,
  type InstanceId,
  PamError,
  personUidSchema,
  type SessionView,
  type StreamId,
  sessionIdSchema,
  streamIdSchema,
} from '@sallyport/protocol';
import type { Selectable } from 'kysely';
import type { Killed, SessionStore } from '../../session/index.ts';
import { type Act, type ActsOf, all, first, type Queries, run } from '../act.ts';
import type { Database } from '../schema.ts';
import { sessionSchema, streamsOf, toInstance, toSession, toStream } from './session-rows.ts';
import { streamActs } from './stream-acts.ts';

function* endStreams(
  q: Queries,
  session: string,
  reason: EndReason,
  nowMs: number,
  words = '',
): Act<{ stream: StreamId; instance: InstanceId | null }[]> {
  const rows = yield* all(
    q.db
      .updateTable('stream')
      .set({ state: 'ended', ended_ms: nowMs, reason, words })
      .where('session', '=', session)
      .where('state', '<>', 'ended')
      .returning(['id', 'instance']),
  );
  return rows.map((row) => ({ stream: streamIdSchema.parse(row.id), instance: toInstance(row.instance) }));
}

/** Ends one running stream as killed; nothing when there is none of this id. */
function* killStream(q: Queries, input: Parameters<SessionStore['killSession']>[0]): Act<Killed | null> {
  const known = yield* first(
    q.db
      .selectFrom('stream')
      .innerJoin('session', 'session.id', 'stream.session')
      .select(['stream.state', 'stream.instance', 'session.id as session', 'session.person'])
      .where('stream.id', '=', input.id),
  );
  if (known === undefined || (input.by !== null && input.by !== known.person)) return null;
  // Read without a lock: the end that was written meanwhile stays.
  const changed = yield* run(
    q.db
      .updateTable('stream')
      .set({ state: 'ended', ended_ms: input.nowMs, reason: 'killed', words: input.words })
      .where('id', '=', input.id)
      .where('state', '<>', 'ended'),
  );
  if (changed === 0) throw ended('stream', input.id);
  return {
    killed: 'stream',
    session: sessionIdSchema.parse(known.session),
    person: personUidSchema.parse(known.person),
    streams: [{ stream: streamIdSchema.parse(input.id), instance: toInstance(known.instance) }],
  };
}

function ended(what: 'session' | 'stream', id: string): PamError {
  return new PamError('PAM_SESSION_ENDED', `the ${what} ${id} has ended`, {
    remedy: 'Nothing is left to do; pam session list shows what runs.',
  });
}

function* viewOf(q: Queries, tuple: Selectable<Database['session']>, withStreams: boolean): Act<SessionView> {
  const { id, device: _device, ...row } = sessionSchema.parse(tuple);
  const counted = yield* all(
    q.db
      .selectFrom('stream')
      .select((of) => ['state', of.fn.countAll<number>().as('count')])
      .where('session', '=', id)
      .groupBy('state'),
  );
  const total = counted.reduce((sum, group) => sum + group.count, 0);
  const ended = counted.find((group) => group.state === 'ended')?.count ?? 0;
  const view = {
    ...row,
    session: id,
    startedAtMs: tuple.started_ms,
    endedAtMs: tuple.ended_ms,
    words: tuple.words,
    openStreams: total - ended,
    totalStreams: total,
  };
  return withStreams ? { ...view, streams: (yield* streamsOf(q, id, 1_000)).map(toStream) } : view;
}

export const sessionActs: ActsOf<SessionStore> = {
  ...streamActs,

  *startSession(q, input) {
    const { session, startedAtMs, ...row } = input;
    yield* run(
      q.db.insertInto('session').values({
        id: session,
        ...row,
        started_ms: startedAtMs,
        touched_ms: startedAtMs,
        ended_ms: null,
        reason: null,
        words: '',
      }),
    );
  },

  *getSession(q, input) {
    const row = yield* first(q.db.selectFrom('session').selectAll().where('id', '=', input.session));
    return row === undefined ? null : toSession(row);
  },

  *touchSession(q, input) {
    const row = yield* first(
      q.db
        .updateTable('session')
        .set({ touched_ms: input.nowMs })
        .where('id', '=', input.session)
        .returning(['reason', 'words']),
    );
    if (row === undefined) throw new PamError('PAM_NOT_FOUND', `there is no session ${input.session}`);
    return { ended: endReasonSchema.nullable().parse(row.reason), words: row.words };
  },

  *killSession(q, input) {
    const row = yield* first(q.db.selectFrom('session').selectAll().where('id', '=', input.id));
    const stream = row === undefined ? yield* killStream(q, input) : null;
    if (stream !== null) return stream;
    if (row === undefined || (input.by !== null && input.by !== row.person)) {
      throw new PamError('PAM_NOT_FOUND', `there is no session or stream ${input.id}`);
    }
    const changed = yield* run(
      q.db
        .updateTable('session')
        .set({ ended_ms: input.nowMs, reason: 'killed', words: input.words })
        .where('id', '=', row.id)
        .where('ended_ms', 'is', null),
    );
    if (changed === 0) throw ended('session', input.id);
    const streams = yield* endStreams(q, row.id, 'killed', input.nowMs, input.words);
    const { session, person } = toSession(row);
    return { killed: 'session', session, person, streams };
  },

  *endSession(q, input) {
    const changed = yield* run(
      q.db
        .updateTable('session')
        .set({ ended_ms: input.nowMs, reason: input.reason })
        .where('id', '=', input.session)
        .where('ended_ms', 'is', null),
    );
    if (changed === 0) return [];
    return yield* endStreams(q, input.session, input.reason, input.nowMs);
  },

  *sweepSessions(q, input) {
    const silent = yield* all(
      q.db
        .updateTable('session')
        .set({ ended_ms: input.nowMs, reason: 'client-lost' })
        .where('ended_ms', 'is', null)
        .where('touched_ms', '<', input.touchedBeforeMs)
        .returning('id'),
    );
    const swept: Awaited<ReturnType<SessionStore['sweepSessions']>>[number][] = [];
    for (const row of silent) {
      const session = sessionIdSchema.parse(row.id);
      const streams = yield* endStreams(q, row.id, 'client-lost', input.nowMs);
      if (streams.length === 0) swept.push({ session, stream: null, instance: null });
      for (const stream of streams) swept.push({ session, ...stream });
    }
    return swept;
  },

  *listSessions(q, input) {
    let query = q.db.selectFrom('session').selectAll();
    if (input.person !== undefined) query = query.where('person', '=', input.person);
    if (!input.ended) query = query.where('ended_ms', 'is', null);
    const rows = yield* all(query.orderBy('started_ms', 'desc').orderBy('id').limit(input.limit));
    const views: SessionView[] = [];
    for (const row of rows) views.push(yield* viewOf(q, row, input.streams));
    return views;
  },
};
