import {
  decisionSchema,
  deviceIdSchema,
  type EndReason,
  endReasonSchema,
  gatewayUidSchema,
  type InstanceId,
  instanceIdSchema,
  itemUidSchema,
  PamError,
  personUidSchema,
  type SessionView,
  type StreamView,
  sessionIdSchema,
  streamIdSchema,
  workloadSchema,
} from '@sallyport/protocol';
import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { ExplainedStream, SessionRow, SessionStore, StreamChange } from '../../session/index.ts';
import { type Act, type ActsOf, all, first, type Queries, run } from '../act.ts';
import type { Database } from '../schema.ts';

/** Decisions kept of one stream; a stream is tried on a handful of instances at most. */
const decisionsKept = 64;

const sessionSchema = z.object({
  id: sessionIdSchema,
  person: personUidSchema,
  device: deviceIdSchema,
  gateway: gatewayUidSchema,
  resource: itemUidSchema,
  workload: workloadSchema,
  reason: endReasonSchema.nullable(),
});
const streamSchema = z.object({
  id: streamIdSchema,
  session: sessionIdSchema,
  instance: instanceIdSchema.nullable(),
  state: z.enum(['routing', 'open', 'ended']),
  reason: endReasonSchema.nullable(),
});

function toSession(tuple: Selectable<Database['session']>): SessionRow {
  const { id, ...row } = sessionSchema.parse(tuple);
  return {
    ...row,
    session: id,
    startedAtMs: tuple.started_ms,
    touchedAtMs: tuple.touched_ms,
    endedAtMs: tuple.ended_ms,
  };
}

function toStream(tuple: Selectable<Database['stream']>): StreamView {
  const { id, ...row } = streamSchema.parse(tuple);
  return {
    ...row,
    stream: id,
    startedAtMs: tuple.started_ms,
    endedAtMs: tuple.ended_ms,
    bytesUp: tuple.bytes_up,
    bytesDown: tuple.bytes_down,
  };
}

function toInstance(id: string | null): InstanceId | null {
  return id === null ? null : instanceIdSchema.parse(id);
}

function* endStreams(
  q: Queries,
  session: string,
  reason: EndReason,
  nowMs: number,
): Act<{ id: string; instance: string | null }[]> {
  return yield* all(
    q.db
      .updateTable('stream')
      .set({ state: 'ended', ended_ms: nowMs, reason })
      .where('session', '=', session)
      .where('state', '<>', 'ended')
      .returning(['id', 'instance']),
  );
}

function* writeRouted(q: Queries, change: StreamChange & { kind: 'routed' }): Act<void> {
  const session = yield* first(q.db.selectFrom('session').select('ended_ms').where('id', '=', change.session));
  if (session === undefined) return;
  yield* run(
    q.db
      .insertInto('stream')
      .values({
        id: change.stream,
        session: change.session,
        instance: change.instance,
        state: 'routing',
        started_ms: change.atMs,
        routed_ms: change.atMs,
        ended_ms: null,
        reason: null,
        bytes_up: 0,
        bytes_down: 0,
        decisions: 0,
      })
      .onConflict((on) => on.doNothing()),
  );
  const stream = yield* first(
    q.db
      .updateTable('stream')
      .set((of) => ({ decisions: of('decisions', '+', 1), routed_ms: change.atMs }))
      .where('id', '=', change.stream)
      .where('session', '=', change.session)
      .returning(['decisions', 'state', 'reason']),
  );
  if (stream === undefined) return;
  // What one instance could not reach is tried at another: its word came before the client's.
  const isTriedAgain =
    stream.state === 'ended' &&
    stream.reason === 'target-refused' &&
    session.ended_ms === null &&
    change.instance !== null;
  if (stream.state === 'routing' || isTriedAgain) {
    yield* run(
      q.db
        .updateTable('stream')
        .set({ state: 'routing', ended_ms: null, reason: null, instance: change.instance })
        .where('id', '=', change.stream),
    );
  }
  if (stream.decisions > decisionsKept) return;
  yield* run(
    q.db
      .insertInto('stream_decision')
      .values({ stream: change.stream, n: stream.decisions, decision: JSON.stringify(change.decision) }),
  );
}

function* writeChange(q: Queries, change: StreamChange): Act<void> {
  switch (change.kind) {
    case 'routed':
      return yield* writeRouted(q, change);
    case 'opened':
      yield* run(
        q.db
          .updateTable('stream')
          .set({ state: 'open', instance: change.instance })
          .where('id', '=', change.stream)
          .where('state', '=', 'routing'),
      );
      return;
    case 'ended':
      yield* run(
        q.db
          .updateTable('stream')
          .set({
            state: 'ended',
            ended_ms: change.atMs,
            reason: change.reason,
            bytes_up: change.bytesUp,
            bytes_down: change.bytesDown,
          })
          .where('id', '=', change.stream)
          .where('state', '<>', 'ended'),
      );
      return;
    default:
      return change satisfies never;
  }
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
    openStreams: total - ended,
    totalStreams: total,
  };
  return withStreams ? { ...view, streams: (yield* streamsOf(q, id, 1_000)).map(toStream) } : view;
}

function* streamsOf(q: Queries, session: string, limit: number): Act<Selectable<Database['stream']>[]> {
  return yield* all(
    q.db
      .selectFrom('stream')
      .selectAll()
      .where('session', '=', session)
      .orderBy('started_ms', 'desc')
      .orderBy('id')
      .limit(limit),
  );
}

function* explain(q: Queries, tuple: Selectable<Database['stream']>): Act<ExplainedStream> {
  const rows = yield* all(
    q.db
      .selectFrom('stream_decision')
      .select('decision')
      .where('stream', '=', tuple.id)
      .orderBy('n')
      .limit(decisionsKept),
  );
  return { stream: toStream(tuple), decisions: rows.map((row) => decisionSchema.parse(JSON.parse(row.decision))) };
}

export const sessionActs: ActsOf<SessionStore> = {
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
      }),
    );
  },

  *getSession(q, input) {
    const row = yield* first(q.db.selectFrom('session').selectAll().where('id', '=', input.session));
    return row === undefined ? null : toSession(row);
  },

  *touchSession(q, input) {
    const row = yield* first(
      q.db.updateTable('session').set({ touched_ms: input.nowMs }).where('id', '=', input.session).returning('reason'),
    );
    if (row === undefined) throw new PamError('PAM_NOT_FOUND', `there is no session ${input.session}`);
    return endReasonSchema.nullable().parse(row.reason);
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
    const ended = yield* endStreams(q, input.session, input.reason, input.nowMs);
    return ended.map((row) => ({ stream: streamIdSchema.parse(row.id), instance: toInstance(row.instance) }));
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
      for (const ended of streams) {
        swept.push({ session, stream: streamIdSchema.parse(ended.id), instance: toInstance(ended.instance) });
      }
    }
    return swept;
  },

  *writeStreams(q, input) {
    for (const change of input.changes) yield* writeChange(q, change);
  },

  *loseInstance(q, input) {
    return yield* run(
      q.db
        .updateTable('stream')
        .set({ state: 'ended', ended_ms: input.nowMs, reason: 'instance-lost' })
        .where('instance', '=', input.instance)
        .where('state', '<>', 'ended'),
    );
  },

  *reconcileStreams(q, input) {
    const ours = yield* all(
      q.db
        .selectFrom('stream')
        .select(['id', 'routed_ms'])
        .where('instance', '=', input.instance)
        .where('state', '<>', 'ended'),
    );
    const running = new Set<string>(input.running);
    for (const row of ours) {
      if (running.has(row.id)) running.delete(row.id);
      else if (row.routed_ms <= input.routedBeforeMs) {
        yield* run(
          q.db
            .updateTable('stream')
            .set({ state: 'ended', ended_ms: input.nowMs, reason: 'instance-lost' })
            .where('id', '=', row.id),
        );
      }
    }
    return [...running].map((id) => streamIdSchema.parse(id));
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

  *explainStreams(q, input) {
    let found: Selectable<Database['stream']>[] = [];
    if (input.id !== undefined) {
      found = yield* all(q.db.selectFrom('stream').selectAll().where('id', '=', input.id));
      if (found.length === 0) found = yield* streamsOf(q, input.id, 50);
    } else if (input.lastOf !== undefined) {
      found = yield* all(
        q.db
          .selectFrom('stream')
          .innerJoin('session', 'session.id', 'stream.session')
          .selectAll('stream')
          .where('session.person', '=', input.lastOf)
          .orderBy('stream.started_ms', 'desc')
          .orderBy('stream.id')
          .limit(1),
      );
    }
    const explained: ExplainedStream[] = [];
    for (const row of found) explained.push(yield* explain(q, row));
    return explained;
  },
};
