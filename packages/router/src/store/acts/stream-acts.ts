import { decisionSchema, endReasonSchema, sessionIdSchema, streamIdSchema } from '@sallyport/protocol';
import type { Selectable } from 'kysely';
import type { ExplainedStream, SessionStore, StreamChange, Unwanted } from '../../session/index.ts';
import { type Act, type ActsOf, all, first, type Queries, run } from '../act.ts';
import type { Database } from '../schema.ts';
import { streamsOf, toInstance, toStream } from './session-rows.ts';

/** Decisions kept of one stream; a stream is tried on a handful of instances at most. */
const decisionsKept = 64;

/** Ended before any instance was seen to run it: an attempt that failed, and the client may make another. */
function wasGivenUp(stream: Pick<Selectable<Database['stream']>, 'state' | 'opened_ms' | 'reason'>): boolean {
  return stream.state === 'ended' && stream.opened_ms === null && stream.reason !== 'killed';
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
        opened_ms: null,
        ended_ms: null,
        reason: null,
        words: '',
        bytes_up: 0,
        bytes_down: 0,
        decisions: 0,
        detached_ms: null,
        detached_until_ms: null,
      })
      .onConflict((on) => on.doNothing()),
  );
  const stream = yield* first(
    q.db
      .updateTable('stream')
      .set((of) => ({ decisions: of('decisions', '+', 1), routed_ms: change.atMs }))
      .where('id', '=', change.stream)
      .where('session', '=', change.session)
      .returning(['decisions', 'state', 'opened_ms', 'reason']),
  );
  if (stream === undefined) return;
  // What one instance could not reach is tried at another: its word came before the client's. And whom nobody could take
  // asks again, without having heard of it: it did while this router was frozen (`npm run chaos`, seed 15).
  const isTriedAgain = wasGivenUp(stream) && session.ended_ms === null && change.instance !== null;
  if (stream.state === 'routing' || isTriedAgain) {
    yield* run(
      q.db
        .updateTable('stream')
        // Nobody was found this time: who was asked before may hold it, and is where a resume looks.
        .set({
          state: 'routing',
          ended_ms: null,
          reason: null,
          ...(change.instance === null ? {} : { instance: change.instance }),
        })
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

function* writeOpened(q: Queries, change: StreamChange & { kind: 'opened' }): Act<void> {
  const stream = yield* first(
    q.db
      .selectFrom('stream')
      .innerJoin('session', 'session.id', 'stream.session')
      .select(['stream.state', 'stream.opened_ms', 'stream.reason', 'session.ended_ms as session_ended_ms'])
      .where('stream.id', '=', change.stream),
  );
  if (stream === undefined) return;
  if (stream.state === 'ended' && !(wasGivenUp(stream) && stream.session_ended_ms === null)) return;
  const { instance, atMs } = change;
  yield* run(
    q.db
      .updateTable('stream')
      .set({ state: 'open', instance, opened_ms: stream.opened_ms ?? atMs, ended_ms: null, reason: null })
      .where('id', '=', change.stream),
  );
}

function* writeChange(q: Queries, change: StreamChange): Act<void> {
  switch (change.kind) {
    case 'routed':
      return yield* writeRouted(q, change);
    case 'opened':
      return yield* writeOpened(q, change);
    case 'held':
      yield* run(
        q.db
          .updateTable('stream')
          .set({ instance: change.instance })
          .where('id', '=', change.stream)
          .where('state', '<>', 'ended'),
      );
      return;
    case 'detached':
    case 'resumed': {
      const [since, until] = change.kind === 'detached' ? [change.atMs, change.untilMs] : [null, null];
      const set = { detached_ms: since, detached_until_ms: until };
      yield* run(q.db.updateTable('stream').set(set).where('id', '=', change.stream).where('state', '<>', 'ended'));
      return;
    }
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

/** Streams: where they were routed, what became of them, and why. */
export const streamActs: Pick<
  ActsOf<SessionStore>,
  'getStream' | 'writeStreams' | 'loseInstance' | 'reconcileStreams' | 'explainStreams'
> = {
  *getStream(q, input) {
    const row = yield* first(
      q.db.selectFrom('stream').select(['session', 'instance', 'reason', 'words']).where('id', '=', input.stream),
    );
    if (row === undefined) return null;
    const { session, instance, reason, words } = row;
    return {
      session: sessionIdSchema.parse(session),
      instance: toInstance(instance),
      reason: endReasonSchema.nullable().parse(reason),
      words,
    };
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
            .where('id', '=', row.id)
            .where('state', '<>', 'ended'),
        );
      }
    }
    const unwanted: Unwanted[] = [];
    for (const id of running) {
      const row = yield* first(
        q.db
          .selectFrom('stream')
          .innerJoin('session', 'session.id', 'stream.session')
          .select(['stream.state', 'stream.opened_ms', 'stream.reason', 'stream.words'])
          .select('session.ended_ms as session_ended_ms')
          .where('stream.id', '=', id),
      );
      // Picked here first, then elsewhere, where the target was not reached or nobody was asked, or no other pick was made
      // (npm run chaos, seed 14), and opened here: only the word of it is still on its way.
      const lives = row !== undefined && row.session_ended_ms === null;
      if (lives && row.state === 'open') continue;
      if (lives && (row.state === 'routing' || wasGivenUp(row))) {
        const opened = { state: 'open', instance: input.instance, ended_ms: null, reason: null };
        yield* run(q.db.updateTable('stream').set(opened).where('id', '=', id));
        continue;
      }
      unwanted.push({ stream: streamIdSchema.parse(id), words: row?.reason === 'killed' ? row.words : null });
    }
    return unwanted;
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
