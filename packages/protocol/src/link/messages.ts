import { wireErrorSchema } from '../errors/wire-error.ts';
import { z } from 'zod';
import { drainBySchema, drainInMs, hashSchema, headSchema, jwsSchema } from '../api/shapes.ts';
import { givenBackEntriesSchema } from '../api/restore.ts';
import { keyWrapSchema } from '../api/vault.ts';
import { jobMethods } from './job-messages.ts';
import { gatewayUidSchema, instanceIdSchema, itemUidSchema, sessionIdSchema, streamIdSchema } from '../ids.ts';
import { itemSchema } from '../record/item.ts';
import { endReasonSchema } from '../api/session.ts';

/**
 * The control link: WebSocket over TLS at `/v1/link`, JSON-RPC 2.0 both ways (requests, notifications, results,
 * errors with a WireError in `data`), text messages of at most 1 MiB, at most 256 calls open each way. It never carries
 * session bytes. Beats are WebSocket pings of the instance (payload: u32 seq, u32 seq of the last pong it saw) and
 * the router's pongs (u32 seq echoed, u32 beat interval in ms): health is a proved round trip.
 */
export const linkLimits = { messageBytes: 1_048_576, openCalls: 256, helloWithinMs: 10_000 } as const;
export const protocolRange = { min: 1, max: 1 } as const;

export const hostSchema = z.strictObject({
  deviceName: z.string().max(255),
  os: z.string().max(64),
  osVersion: z.string().max(255),
  arch: z.string().max(32),
  machineType: z.string().max(64),
});
export type HostView = z.infer<typeof hostSchema>;

const ticket = hashSchema;

/** router → instance, first message. */
const challengeParams = z.strictObject({
  nonce: hashSchema,
  timeMs: z.int(),
  version: z.string().max(32),
  protocol: z.strictObject({ min: z.int(), max: z.int() }),
  /** Ticket for a leg of role `echo`: proves the data port before admission. */
  echoTicket: ticket,
});

/**
 * instance → router, once. `proof`: JWS (typ sallyport-hello+jws) by the instance's key over {nonce, gateway, instance,
 * routerPin}; the certificate is signed by the pool's signing key. Errors: PAM_INSTANCE_REFUSED, PAM_GATEWAY_REMOVED,
 * PAM_INSTANCE_DUPLICATE, PAM_POOL_FULL (noStandby), PAM_POOL_STANDBY_FULL, PAM_CLOCK_SKEW, PAM_VERSION_UNSUPPORTED.
 */
const helloParams = z.strictObject({
  gateway: gatewayUidSchema,
  instance: instanceIdSchema,
  certificate: z.string().min(64).max(8_192),
  proof: jwsSchema,
  timeMs: z.int(),
  version: z.string().max(32),
  host: hostSchema,
  noStandby: z.boolean(),
  head: headSchema,
  /** What it believes it holds, when it redials. */
  held: z.strictObject({ seq: z.int(), epoch: z.int() }).nullable(),
  /** Streams that run here now: the router reconciles its list. */
  streams: z.array(streamIdSchema).max(20_000),
  /** Streams it runs at most; absent from instances that do not tell. */
  maxStreams: z.exactOptional(z.int().min(1).max(20_000)),
});

export const membershipSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('slot'), seq: z.int(), epoch: z.int() }),
  z.strictObject({ kind: z.literal('standby'), position: z.int(), reason: z.string().max(256) }),
]);
export type MembershipView = z.infer<typeof membershipSchema>;
export const helloResult = z.strictObject({
  membership: membershipSchema,
  maxInstances: z.int(),
  admitted: z.int(),
  beatMs: z.int().min(50).max(60_000),
  suspectMs: z.int().min(100).max(120_000),
  head: headSchema,
  /** Wraps of the application's keys for this pool. */
  wraps: z.array(keyWrapSchema).max(300),
});

/** router → instance: new membership (promotion); acknowledged within 1 s or the next in line is asked. */
const membershipParams = z.strictObject({ membership: membershipSchema });

/**
 * router → instance: what is wanted of it, after the hello unless it is `serve`, and at each change. A drain's deadline
 * is told as time left, because clocks differ; `deadlineAtMs` (the router's wall clock) only tells two deadlines apart:
 * told again with the same one, the instance keeps its own count.
 */
const intentParams = z.strictObject({
  intent: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('serve') }),
    z.strictObject({ kind: z.literal('cordon') }),
    z.strictObject({
      kind: z.literal('drain'),
      by: drainBySchema,
      deadlineAtMs: z.int().min(0),
      deadlineInMs: drainInMs,
    }),
  ]),
});
/** instance → router: it was told to stop (SIGTERM) and drains by itself; said again after each hello. */
const drainParams = z.strictObject({ deadlineInMs: drainInMs });

/** instance → router: trust log from entry `from`. */
const logParams = z.strictObject({ from: z.int().min(0) });
const logResult = z.strictObject({ entries: z.array(jwsSchema).max(500), head: headSchema });

/**
 * instance → router, also before the hello: entries of the trust log that the router lost, the first following its last.
 * PAM_TRUST_LOG_MOVED when they do not continue its log.
 */
const giveBackParams = z.strictObject({ entries: givenBackEntriesSchema });
const giveBackResult = z.strictObject({ head: headSchema });

/**
 * router → instance: one stream. `items` are the sealed facts the request stands on (resource, configuration).
 * Nothing is dialled before the client's handshake and OPEN. `parked`: the ticket was bound to a parked leg.
 * Result: accepted, or a refusal whose class says whether another instance may be tried.
 */
const dispatchParams = z.strictObject({
  session: sessionIdSchema,
  stream: streamIdSchema,
  request: jwsSchema,
  ticket,
  epoch: z.int(),
  parked: z.boolean(),
  items: z.array(itemSchema).max(8),
  head: headSchema,
});
export const refusalClassSchema = z.enum(['draining', 'full', 'old-epoch', 'denied']);
export const dispatchResult = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('accepted') }),
  z.strictObject({ kind: z.literal('refused'), class: refusalClassSchema, error: wireErrorSchema }),
]);

/**
 * router → instance: the client of a stream that runs here has lost its carrier and asks for another; its ticket opens a
 * leg of role `instance`. No new signed request: who resumes is decided by the session key inside the leg.
 * Refused with PAM_STREAM_GONE (nothing left of it here), PAM_RATE_LIMITED (too many at once), PAM_SESSION_ENDED.
 */
const resumeParams = z.strictObject({ session: sessionIdSchema, stream: streamIdSchema, ticket });
const resumeResult = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('accepted') }),
  z.strictObject({ kind: z.literal('refused'), error: wireErrorSchema }),
]);

/** router → instance: forget a dispatch; advice only. */
const forgetParams = z.strictObject({ stream: streamIdSchema, ticket });

/** router → instance: dial ahead; each ticket opens one leg of role `park`. */
const parkParams = z.strictObject({ tickets: z.array(ticket).max(16) });

/** instance → router: what happened to streams; batched; idempotent by (stream, event). */
export const streamEventSchema = z.discriminatedUnion('event', [
  z.strictObject({ event: z.literal('opened'), stream: streamIdSchema, atMs: z.int() }),
  /** It has no carrier; unless it is resumed it ends at `untilMs`. */
  z.strictObject({ event: z.literal('detached'), stream: streamIdSchema, atMs: z.int(), untilMs: z.int() }),
  z.strictObject({ event: z.literal('resumed'), stream: streamIdSchema, atMs: z.int() }),
  z.strictObject({
    event: z.literal('ended'),
    stream: streamIdSchema,
    atMs: z.int(),
    reason: endReasonSchema,
    bytesUp: z.int().min(0),
    bytesDown: z.int().min(0),
    /** The record's own target could not be reached from here; absent when it answered, or the host was supplied. */
    unreached: z.exactOptional(z.enum(['unreachable', 'timeout'])),
  }),
]);
/** `signed`: the instance's chained event (typ sallyport-event+jws) whose digest covers `events`. */
const streamEventsParams = z.strictObject({
  events: z.array(streamEventSchema).min(1).max(200),
  signed: jwsSchema,
});

/** instance → router: leaving. */
const byeParams = z.strictObject({ reason: z.enum(['stopped', 'drained', 'refused']) });

/** router → instance: end these streams, or everything (`streams` empty) because the gateway was removed. */
const endStreamsParams = z.strictObject({
  streams: z.array(streamIdSchema).max(1_000),
  reason: endReasonSchema,
  /** Who ended them and why, for the user to read. */
  words: z.exactOptional(z.string().max(256)),
});

/** router → instance: the log or an item changed; fetch when convenient. */
const changedParams = z.strictObject({ head: headSchema, items: z.array(itemUidSchema).max(200) });

const noResult = z.strictObject({});

/**
 * router → instance: another process said hello with this instance's identity while this one answers; it was refused.
 * `from`: where it came from. News only: the instance that is told keeps its place and its streams.
 */
const duplicateParams = z.strictObject({ from: z.string().max(64), atMs: z.int() });

/** Methods by direction: `request` is answered, `notification` is not. */
export const linkMethods = {
  'link.challenge': { from: 'router', kind: 'notification', params: challengeParams, result: noResult },
  'link.hello': { from: 'instance', kind: 'request', params: helloParams, result: helloResult },
  'link.membership': { from: 'router', kind: 'request', params: membershipParams, result: noResult },
  'link.intent': { from: 'router', kind: 'notification', params: intentParams, result: noResult },
  'link.drain': { from: 'instance', kind: 'request', params: drainParams, result: noResult },
  'link.duplicate': { from: 'router', kind: 'notification', params: duplicateParams, result: noResult },
  'link.bye': { from: 'instance', kind: 'request', params: byeParams, result: noResult },
  'log.read': { from: 'instance', kind: 'request', params: logParams, result: logResult },
  'log.give-back': { from: 'instance', kind: 'request', params: giveBackParams, result: giveBackResult },
  'vault.changed': { from: 'router', kind: 'notification', params: changedParams, result: noResult },
  'stream.dispatch': { from: 'router', kind: 'request', params: dispatchParams, result: dispatchResult },
  'stream.resume': { from: 'router', kind: 'request', params: resumeParams, result: resumeResult },
  'stream.forget': { from: 'router', kind: 'notification', params: forgetParams, result: noResult },
  'stream.end': { from: 'router', kind: 'notification', params: endStreamsParams, result: noResult },
  'stream.events': { from: 'instance', kind: 'request', params: streamEventsParams, result: noResult },
  'leg.park': { from: 'router', kind: 'notification', params: parkParams, result: noResult },
  ...jobMethods,
} as const;
export type LinkMethod = keyof typeof linkMethods;
