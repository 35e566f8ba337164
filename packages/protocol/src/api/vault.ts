import { z } from 'zod';
import { applicationUidSchema, gatewayUidSchema, instanceIdSchema, itemUidSchema } from '../ids.ts';
import {
  envelopeSchema,
  generationSchema,
  itemSchema,
  itemTypeSchema,
  keyPartSchema,
  mirrorSchema,
  partEnvelopeSchema,
  partSchema,
} from '../record/item.ts';
import { defineRoute } from './route.ts';
import { drainBySchema, drainInMs, empty, hashSchema, headSchema, jwsSchema, small } from './shapes.ts';

const maxInstances = z.int().min(1).max(1_000);

/** A key of an application wrapped for one recipient (thumbprint of its box key). */
export const keyWrapSchema = z.strictObject({
  app: applicationUidSchema,
  part: keyPartSchema,
  gen: generationSchema,
  recipient: hashSchema,
  wrap: envelopeSchema.max(8_192),
});
export type KeyWrap = z.infer<typeof keyWrapSchema>;

/** Parts to write: each `rev` must be the stored one plus 1 (1 at first), else PAM_CONFLICT. */
const writeParts = z.strictObject({
  facts: partEnvelopeSchema.optional(),
  secrets: partEnvelopeSchema.optional(),
});
export const writeItemSchema = z.strictObject({
  uid: itemUidSchema,
  app: applicationUidSchema,
  type: itemTypeSchema,
  mirror: mirrorSchema,
  parts: writeParts,
});
export type WriteItem = z.infer<typeof writeItemSchema>;

/** Trust log from entry `from` on, at most 500 a page. */
export const readLog = defineRoute({
  method: 'GET',
  path: '/v1/log',
  access: 'enrolling',
  audited: false,
  query: z.strictObject({ from: z.coerce.number().int().min(0).default(0) }),
  body: empty,
  reply: z.strictObject({ entries: z.array(jwsSchema).max(500), head: headSchema }),
  bodyLimitBytes: small,
});

/** Appends one entry; PAM_TRUST_LOG_MOVED when it does not name the head. `enrolling`: only a `device` entry. */
export const appendLog = defineRoute({
  method: 'POST',
  path: '/v1/log',
  access: 'enrolling',
  audited: false,
  query: empty,
  body: z.strictObject({ entry: jwsSchema }),
  reply: z.strictObject({ head: headSchema }),
  bodyLimitBytes: 32_768,
});

/** Applications with their facts, and the wraps made for the caller's person. */
export const listApplications = defineRoute({
  method: 'GET',
  path: '/v1/applications',
  access: 'device',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({
    applications: z.array(z.strictObject({ item: itemSchema, wraps: z.array(keyWrapSchema).max(300) })).max(1_000),
  }),
  bodyLimitBytes: small,
});

/** New application: log entries `application` and `generation` 1, its facts, wraps for person and recovery key. */
export const createApplication = defineRoute({
  method: 'POST',
  path: '/v1/applications',
  access: 'device',
  right: 'applications',
  audited: true,
  query: empty,
  body: z.strictObject({
    entries: z.array(jwsSchema).length(2),
    item: writeItemSchema,
    wraps: z.array(keyWrapSchema).min(1).max(64),
    event: jwsSchema,
  }),
  reply: z.strictObject({ head: headSchema }),
  bodyLimitBytes: 262_144,
});

/** Removes an application (log entry `app-removed`); PAM_IN_USE with a list while items depend on it. */
export const removeApplication = defineRoute({
  method: 'DELETE',
  path: '/v1/applications/:uid',
  access: 'device',
  right: 'applications',
  audited: true,
  query: empty,
  body: z.strictObject({ entry: jwsSchema, event: jwsSchema }),
  reply: z.strictObject({ head: headSchema }),
  bodyLimitBytes: 32_768,
});

/** Items that `uids` of `listItems` may name. */
export const itemsInCall = 32;

/**
 * Items of the caller, by UID order; `after` is the last UID seen; at most 200 a page. With `uids`, separated by commas, those
 * of them that exist, with all parts.
 */
export const listItems = defineRoute({
  method: 'GET',
  path: '/v1/items',
  access: 'device',
  audited: false,
  query: z.strictObject({
    app: applicationUidSchema.optional(),
    type: itemTypeSchema.optional(),
    after: itemUidSchema.optional(),
    parts: z.enum(['facts', 'all']).default('facts'),
    uids: z
      .string()
      .max(itemsInCall * 23)
      .transform((text) => text.split(','))
      .pipe(z.array(itemUidSchema).min(1).max(itemsInCall))
      .optional(),
  }),
  body: empty,
  reply: z.strictObject({ items: z.array(itemSchema).max(200), more: z.boolean() }),
  bodyLimitBytes: small,
});

export const getItem = defineRoute({
  method: 'GET',
  path: '/v1/items/:uid',
  access: 'device',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({ item: itemSchema }),
  bodyLimitBytes: small,
});

/** Every stored revision of every part, newest first; at most 200. */
export const itemHistory = defineRoute({
  method: 'GET',
  path: '/v1/items/:uid/history',
  access: 'device',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({
    versions: z
      .array(
        z.strictObject({ part: partSchema, ...partEnvelopeSchema.shape, author: z.string().max(64), atMs: z.int() }),
      )
      .max(200),
  }),
  bodyLimitBytes: small,
});

/** Creates or changes an item: one transaction over all parts given. */
export const writeItem = defineRoute({
  method: 'PUT',
  path: '/v1/items/:uid',
  access: 'device',
  right: 'records',
  audited: true,
  query: empty,
  body: z.strictObject({ item: writeItemSchema, event: jwsSchema }),
  reply: z.strictObject({ item: itemSchema }),
  bodyLimitBytes: 262_144,
});

/** Removes a record or configuration; PAM_IN_USE while other items link to it (detail.dependants). */
export const removeItem = defineRoute({
  method: 'DELETE',
  path: '/v1/items/:uid',
  access: 'device',
  right: 'records',
  audited: true,
  query: empty,
  body: z.strictObject({ event: jwsSchema }),
  reply: empty,
  bodyLimitBytes: 32_768,
});

export const instanceViewSchema = z.strictObject({
  instanceId: z.string().length(22),
  /** The one word shown: draining, cordoned, suspect, ready; standby and joining for who holds no slot. */
  state: z.enum(['joining', 'standby', 'ready', 'suspect', 'cordoned', 'draining']),
  health: z.enum(['ok', 'suspect', 'absent']),
  reason: z.string().max(256),
  deviceName: z.string().max(255),
  os: z.string().max(64),
  osVersion: z.string().max(255),
  arch: z.string().max(32),
  machineType: z.string().max(64),
  gatewayVersion: z.string().max(32),
  ipAddress: z.string().max(64),
  connectedOnMs: z.int(),
  sinceMs: z.int(),
  lastHeartbeatMs: z.int(),
  streams: z.int(),
  /** Streams it runs at most, by its own word; null when it did not say. */
  maxStreams: z.int().nullable(),
  /** Of one that drains. `replace`: one more than the maximum may be admitted until it is gone. */
  drain: z.strictObject({ by: drainBySchema, deadlineAtMs: z.int(), replace: z.boolean() }).nullable(),
});
export type InstanceView = z.infer<typeof instanceViewSchema>;
export const gatewayViewSchema = z.strictObject({
  item: itemSchema,
  maxInstances,
  createdAtMs: z.int(),
  modifiedAtMs: z.int(),
  everConnected: z.boolean(),
  instances: z.array(instanceViewSchema).max(4_000),
});
export type GatewayView = z.infer<typeof gatewayViewSchema>;

export const listGateways = defineRoute({
  method: 'GET',
  path: '/v1/gateways',
  access: 'device',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({ gateways: z.array(gatewayViewSchema).max(1_000) }),
  bodyLimitBytes: small,
});

/** New gateway: log entry `gateway`, its facts, wraps of the application's keys for the pool; token optional. */
export const createGateway = defineRoute({
  method: 'POST',
  path: '/v1/gateways',
  access: 'device',
  right: 'gateways',
  audited: true,
  query: empty,
  body: z.strictObject({
    entry: jwsSchema,
    item: writeItemSchema,
    wraps: z.array(keyWrapSchema).min(1).max(300),
    maxInstances,
    token: z
      .strictObject({ lookup: hashSchema, blob: envelopeSchema.max(32_768), lifeMinutes: z.int().min(1).max(1_440) })
      .optional(),
    event: jwsSchema,
  }),
  reply: z.strictObject({ head: headSchema }),
  bodyLimitBytes: 262_144,
});

/**
 * Sets the maximum; lowering it stops nothing, unless `drainSurplus` is given: then those over it drain, decided in the
 * same transaction, fewest streams first, then the youngest. Answers what it was, how many are admitted, and who drains.
 */
export const setMaxInstances = defineRoute({
  method: 'PATCH',
  path: '/v1/gateways/:uid',
  access: 'device',
  right: 'gateways',
  audited: true,
  query: empty,
  body: z.strictObject({
    maxInstances,
    drainSurplus: z.exactOptional(z.strictObject({ deadlineInMs: drainInMs })),
    event: jwsSchema,
  }),
  reply: z.strictObject({
    before: maxInstances,
    maxInstances,
    admitted: z.int().min(0),
    drained: z.array(z.strictObject({ instance: instanceIdSchema, streams: z.int().min(0) })).max(1_000),
  }),
  bodyLimitBytes: 32_768,
});

/**
 * New pool keys (log entry `gateway-rekeyed`) and wraps of the application's keys for them. The old keys are refused
 * at once: links are cut, streams of the old instances end, one-time tokens are void, wraps for the old key are gone.
 */
export const rekeyGateway = defineRoute({
  method: 'POST',
  path: '/v1/gateways/:uid/rekey',
  access: 'device',
  right: 'gateways',
  audited: true,
  query: empty,
  body: z.strictObject({ entry: jwsSchema, wraps: z.array(keyWrapSchema).min(1).max(300), event: jwsSchema }),
  reply: z.strictObject({ head: headSchema, cut: z.int().min(0) }),
  bodyLimitBytes: 262_144,
});

/** Removes a gateway (log entry `gateway-removed`); PAM_IN_USE while configurations name it. */
export const removeGateway = defineRoute({
  method: 'DELETE',
  path: '/v1/gateways/:uid',
  access: 'device',
  right: 'gateways',
  audited: true,
  query: empty,
  body: z.strictObject({ entry: jwsSchema, event: jwsSchema }),
  reply: z.strictObject({ head: headSchema }),
  bodyLimitBytes: 32_768,
});

/**
 * Redeems a one-time token: only its HKDF name is sent. `redeemer` is the thumbprint of a key the redeemer made, so
 * that it may ask again until it acknowledges; then the blob is gone. Needs a DPoP proof by that key.
 */
export const redeemToken = defineRoute({
  method: 'POST',
  path: '/v1/tokens/redeem',
  access: 'public',
  audited: false,
  query: empty,
  body: z.strictObject({ lookup: hashSchema }),
  reply: z.strictObject({ gateway: gatewayUidSchema, blob: envelopeSchema.max(32_768) }),
  bodyLimitBytes: small,
});
export const acknowledgeToken = defineRoute({
  method: 'POST',
  path: '/v1/tokens/acknowledge',
  access: 'public',
  audited: false,
  query: empty,
  body: z.strictObject({ lookup: hashSchema }),
  reply: empty,
  bodyLimitBytes: small,
});
