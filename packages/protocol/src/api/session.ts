import { z } from 'zod';
import {
  gatewayUidSchema,
  instanceIdSchema,
  itemUidSchema,
  personUidSchema,
  sessionIdSchema,
  streamIdSchema,
} from '../ids.ts';
import { defineRoute } from './route.ts';
import { empty, hashSchema, jwsSchema, small } from './shapes.ts';

export const workloadSchema = z.enum(['tunnel']);
/** Reasons a session or stream ended; one closed list. */
export const endReasonSchema = z.enum([
  'client-closed',
  'target-closed',
  'client-reset',
  'target-reset',
  'target-refused',
  'not-allowed',
  'instance-lost',
  'client-lost',
  'carrier-lost',
  'detached-timeout',
  'router-restarted',
  'protocol-error',
  'deadline',
  'signed-out',
  'stopped',
  'drained',
  'killed',
  'failed',
]);
export type EndReason = z.infer<typeof endReasonSchema>;

/**
 * One candidate of a dispatch decision. Class 0 is well; 1 is well, but ejected for this resource or warming up; 2 is
 * suspect; null is excluded. `note` says why it is in class 1 or 2, or that it was let through to probe; `untilMs` (Unix
 * ms) is when an ejection is over.
 */
export const candidateSchema = z.strictObject({
  instance: instanceIdSchema,
  seq: z.int(),
  class: z.int().min(0).max(2).nullable(),
  excluded: z.string().max(128).nullable(),
  note: z.exactOptional(z.string().max(128)),
  untilMs: z.exactOptional(z.int()),
});
export type Candidate = z.infer<typeof candidateSchema>;
/** What the pick saw and chose; replaying the pure pick over it gives the same choice. */
export const decisionSchema = z.strictObject({
  atMs: z.int(),
  cursorBefore: z.int(),
  candidates: z.array(candidateSchema).max(1_000),
  pick: instanceIdSchema.nullable(),
  cause: z.enum(['first', 'retry', 'refused', 'hedge', 'link-closed']),
});
export type Decision = z.infer<typeof decisionSchema>;

/**
 * The first of the best class after `cursor`, cyclic by seq; null when every candidate is excluded. The router picks
 * with it and everybody may replay a recorded decision with it.
 *
 * I3: between two picks of a member every other that stayed in the best class is picked exactly once.
 */
export function nextTurn(candidates: readonly Candidate[], cursor: number): Candidate | null {
  let best: Candidate | null = null;
  let bestAhead = false;
  for (const candidate of candidates) {
    if (candidate.class === null) continue;
    const ahead = candidate.seq > cursor;
    const better =
      best === null ||
      best.class === null ||
      candidate.class < best.class ||
      (candidate.class === best.class && ahead && !bestAhead);
    if (better) {
      best = candidate;
      bestAhead = ahead;
    }
  }
  return best;
}

/** The pick that the recorded candidates and cursor give; equal to `decision.pick` for every honest decision. */
export function replayDecision(decision: Decision): Decision['pick'] {
  return nextTurn(decision.candidates, decision.cursorBefore)?.instance ?? null;
}

/**
 * What the caller supplies for one stream, sealed to the pool's box key (`sealToBox(streamOptionsPurpose, …)`) in the
 * signed request: another host and port, taken only when the record says `allowSupplyHost` and the address lies inside
 * the configuration's networks.
 */
export const streamOptionsPurpose = 'stream-options';
export const streamOptionsSchema = z.strictObject({
  host: z.exactOptional(z.string().min(1).max(253)),
  port: z.exactOptional(z.int().min(1).max(65_535)),
});
export type StreamOptions = z.infer<typeof streamOptionsSchema>;

/** Starts a session: one tunnel, whose accepted connections are its streams. */
export const startSession = defineRoute({
  method: 'POST',
  path: '/v1/sessions',
  access: 'device',
  right: 'connect',
  audited: true,
  query: empty,
  body: z.strictObject({
    session: sessionIdSchema,
    gateway: gatewayUidSchema,
    resource: itemUidSchema,
    workload: workloadSchema,
    event: jwsSchema,
  }),
  reply: empty,
  bodyLimitBytes: 32_768,
});

/**
 * Routes one stream: the router picks an instance, dispatches the signed request to it and answers with the ticket
 * of the client's leg. `not` lists instances already tried for this stream. The client dials the address in
 * `address`, or the one it uses for the API when absent. `probe`: the instance could not reach the resource lately and
 * is tried again with this stream, so ask for another early. A named refusal of the instance comes as an error.
 */
export const routeStream = defineRoute({
  method: 'POST',
  path: '/v1/sessions/:id/streams',
  access: 'device',
  right: 'connect',
  audited: false,
  query: empty,
  body: z.strictObject({ stream: streamIdSchema, request: jwsSchema, not: z.array(instanceIdSchema).max(16) }),
  reply: z.strictObject({
    instance: instanceIdSchema,
    ticket: hashSchema,
    address: z.string().max(300).optional(),
    attempt: z.int().min(1),
    probe: z.exactOptional(z.literal(true)),
  }),
  bodyLimitBytes: 65_536,
});

/**
 * Another pair of legs to the instance that holds a stream, for its own device: the carrier of the stream was lost.
 * PAM_STREAM_GONE: the instance is lost, or nothing is left of the stream there; PAM_STREAM_NOT_HERE with
 * `detail.retryAfterMs`: it has no link to this router now, ask again or ask another router.
 */
export const resumeStream = defineRoute({
  method: 'POST',
  path: '/v1/sessions/:id/streams/:stream/resume',
  access: 'device',
  right: 'connect',
  audited: false,
  query: empty,
  // The instance on which the client has it open: only the client knows at once where that is.
  body: z.strictObject({ instance: z.exactOptional(instanceIdSchema) }),
  reply: z.strictObject({
    instance: instanceIdSchema,
    ticket: hashSchema,
    address: z.string().max(300).optional(),
  }),
  bodyLimitBytes: small,
});

/** Keeps a session alive (every 30 s; ends as client-lost after 90 s without) and tells whether it still runs. */
export const touchSession = defineRoute({
  method: 'POST',
  path: '/v1/sessions/:id/touch',
  access: 'device',
  audited: false,
  query: empty,
  body: empty,
  /** `words`: who killed it and why, for the user to read. */
  reply: z.strictObject({ ended: endReasonSchema.nullable(), words: z.string().max(256) }),
  bodyLimitBytes: small,
});

export const endSession = defineRoute({
  method: 'POST',
  path: '/v1/sessions/:id/end',
  access: 'device',
  audited: false,
  query: empty,
  body: z.strictObject({ reason: endReasonSchema }),
  reply: empty,
  bodyLimitBytes: small,
});

export const streamViewSchema = z.strictObject({
  stream: streamIdSchema,
  session: sessionIdSchema,
  instance: instanceIdSchema.nullable(),
  state: z.enum(['routing', 'open', 'ended']),
  startedAtMs: z.int(),
  endedAtMs: z.int().nullable(),
  /** Since when it has no carrier, and when it ends unless it is resumed; null while it has one. */
  detachedAtMs: z.int().nullable(),
  detachedUntilMs: z.int().nullable(),
  reason: endReasonSchema.nullable(),
  /** Who killed it and why; '' otherwise. */
  words: z.string().max(256),
  bytesUp: z.int(),
  bytesDown: z.int(),
});
export const sessionViewSchema = z.strictObject({
  session: sessionIdSchema,
  person: personUidSchema,
  gateway: gatewayUidSchema,
  resource: itemUidSchema,
  workload: workloadSchema,
  startedAtMs: z.int(),
  endedAtMs: z.int().nullable(),
  reason: endReasonSchema.nullable(),
  /** Who killed it and why; '' otherwise. */
  words: z.string().max(256),
  openStreams: z.int(),
  totalStreams: z.int(),
  streams: z.array(streamViewSchema).max(1_000).optional(),
});
export type SessionView = z.infer<typeof sessionViewSchema>;
export type StreamView = z.infer<typeof streamViewSchema>;

export const listSessions = defineRoute({
  method: 'GET',
  path: '/v1/sessions',
  access: 'device',
  audited: false,
  query: z.strictObject({
    streams: z.enum(['yes', 'no']).default('no'),
    ended: z.enum(['yes', 'no']).default('no'),
    limit: z.coerce.number().int().min(1).max(500).default(100),
  }),
  body: empty,
  reply: z.strictObject({ sessions: z.array(sessionViewSchema).max(500) }),
  bodyLimitBytes: small,
});

/** `id` is a stream or session id, or `last` (the caller's last stream). For a session: its latest 50 streams. */
export const explainSession = defineRoute({
  method: 'GET',
  path: '/v1/sessions/:id/why',
  access: 'device',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({
    streams: z.array(z.strictObject({ stream: streamViewSchema, decisions: z.array(decisionSchema).max(64) })).max(50),
  }),
  bodyLimitBytes: small,
});
