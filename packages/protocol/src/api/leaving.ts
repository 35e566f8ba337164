import { z } from 'zod';
import { gatewayUidSchema, instanceIdSchema, sessionIdSchema } from '../ids.ts';
import { defineRoute } from './route.ts';
import { drainInMs, empty, jwsSchema } from './shapes.ts';

/**
 * What an operator wants of one instance. `drain` is one way; `replace` lets one more than the maximum be admitted until
 * the drained one is gone. Only refuses or ends, so no device signs it for the instance (ADR 0009); the audit event is
 * signed as everywhere.
 */
export const setInstanceIntent = defineRoute({
  method: 'PUT',
  path: '/v1/gateways/:uid/instances/:instance/intent',
  access: 'device',
  right: 'gateways',
  audited: true,
  query: empty,
  body: z.strictObject({
    intent: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('serve') }),
      z.strictObject({ kind: z.literal('cordon') }),
      z.strictObject({ kind: z.literal('drain'), deadlineInMs: drainInMs, replace: z.boolean() }),
    ]),
    event: jwsSchema,
  }),
  reply: z.strictObject({
    gateway: gatewayUidSchema,
    instance: instanceIdSchema,
    /** What it held: a drained standby is gone at once. */
    membership: z.enum(['slot', 'standby']),
    streams: z.int().min(0),
    /** Unix milliseconds by the router's clock; of a drain, the one that holds (an earlier one stays). */
    deadlineAtMs: z.int().nullable(),
  }),
  bodyLimitBytes: 32_768,
});

/**
 * Ends a session or one stream of it, now: one's own, and everybody's with the right `gateways`. What runs on
 * an instance whose link is down is recorded, and ended when it returns; its way through the router is cut at once.
 */
export const killSession = defineRoute({
  method: 'POST',
  path: '/v1/sessions/:id/kill',
  access: 'device',
  audited: true,
  query: empty,
  body: z.strictObject({ reason: z.string().max(120), event: jwsSchema }),
  reply: z.strictObject({
    killed: z.enum(['session', 'stream']),
    session: sessionIdSchema,
    /** Streams that ran. */
    streams: z.int().min(0),
    /** Of these, on instances that could not be told yet. */
    untold: z.int().min(0),
  }),
  bodyLimitBytes: 32_768,
});
