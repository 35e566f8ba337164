import {
  deviceIdSchema,
  endReasonSchema,
  gatewayUidSchema,
  type InstanceId,
  instanceIdSchema,
  itemUidSchema,
  personUidSchema,
  type StreamView,
  sessionIdSchema,
  streamIdSchema,
  workloadSchema,
} from '@sallyport/protocol';
import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { SessionRow } from '../../session/index.ts';
import { type Act, all, type Queries } from '../act.ts';
import type { Database } from '../schema.ts';

export const sessionSchema = z.object({
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

export function toSession(tuple: Selectable<Database['session']>): SessionRow {
  const { id, ...row } = sessionSchema.parse(tuple);
  return {
    ...row,
    session: id,
    startedAtMs: tuple.started_ms,
    touchedAtMs: tuple.touched_ms,
    endedAtMs: tuple.ended_ms,
    words: tuple.words,
  };
}

export function toStream(tuple: Selectable<Database['stream']>): StreamView {
  const { id, ...row } = streamSchema.parse(tuple);
  return {
    ...row,
    stream: id,
    startedAtMs: tuple.started_ms,
    endedAtMs: tuple.ended_ms,
    words: tuple.words,
    detachedAtMs: tuple.state === 'ended' ? null : tuple.detached_ms,
    detachedUntilMs: tuple.state === 'ended' ? null : tuple.detached_until_ms,
    bytesUp: tuple.bytes_up,
    bytesDown: tuple.bytes_down,
  };
}

export function toInstance(id: string | null): InstanceId | null {
  return id === null ? null : instanceIdSchema.parse(id);
}

/** Newest first. */
export function* streamsOf(q: Queries, session: string, limit: number): Act<Selectable<Database['stream']>[]> {
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
