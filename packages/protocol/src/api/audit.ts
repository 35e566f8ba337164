import { z } from 'zod';
import { defineRoute } from './route.ts';
import { empty, hashSchema, jwsSchema, small } from './shapes.ts';

/**
 * One event of a router's chain. `hash` = base64url SHA-256 of the JSON array
 * [router, start, seq, prev, atMs, kind, body, actorEvent]; `prev` is the hash of seq - 1 ('' at seq 1).
 */
export const auditEventSchema = z.strictObject({
  router: hashSchema,
  start: z.int(),
  seq: z.int().min(1),
  prev: z.string().max(43),
  hash: hashSchema,
  atMs: z.int(),
  kind: z.string().max(64),
  /** JSON text; UIDs, ids, codes, counts: never titles, hosts or secrets. */
  body: z.string().max(8_192),
  actorEvent: jwsSchema.nullable(),
});
export type AuditEvent = z.infer<typeof auditEventSchema>;

/** Events in order (start, then seq); the page ends with a head signed by the router's key. */
export const readAudit = defineRoute({
  method: 'GET',
  path: '/v1/audit',
  access: 'device',
  right: 'audit',
  audited: false,
  query: z.strictObject({
    start: z.coerce.number().int().min(0).default(0),
    after: z.coerce.number().int().min(0).default(0),
    limit: z.coerce.number().int().min(1).max(500).default(200),
    order: z.enum(['oldest', 'newest']).default('oldest'),
  }),
  body: empty,
  reply: z.strictObject({
    events: z.array(auditEventSchema).max(500),
    more: z.boolean(),
    /** One head per start of the router, typ sallyport-head+jws, newest last. */
    heads: z.array(jwsSchema).max(1_000),
  }),
  bodyLimitBytes: small,
});

/** Where the router believes the caller's own chain of signed events ends. */
export const actorHead = defineRoute({
  method: 'GET',
  path: '/v1/audit/actor',
  access: 'device',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({ seq: z.int().min(0), hash: z.string().max(43) }),
  bodyLimitBytes: small,
});
