import { wireErrorSchema } from '../errors/wire-error.ts';
import { z } from 'zod';
import { gatewayUidSchema, instanceIdSchema, itemUidSchema, jobIdSchema, personUidSchema } from '../ids.ts';
import { envelopeSchema, generationSchema, itemSchema, partEnvelopeSchema, revisionSchema } from '../record/item.ts';
import { defineRoute } from './route.ts';
import { empty, hashSchema, jwsSchema, small } from './shapes.ts';

export const jobKindSchema = z.enum(['rotate', 'check', 'rehearse', 'retire', 'after']);
export const jobStateSchema = z.enum(['queued', 'running', 'waiting', 'done', 'failed', 'cancelled', 'attention']);
export const jobStepSchema = z.enum([
  'new',
  'intent',
  'permitted',
  'applied',
  'verified',
  'converged',
  'promoted',
  'done',
]);
export const sendOutcomeSchema = z.enum(['applied', 'policy', 'denied', 'fenced', 'unknown']);

/**
 * Why a job waits, ended or needs attention: a closed list, because the router keeps it in plain. What the target said
 * in its own words is in the sealed notes.
 */
export const jobWhySchema = z.enum([
  'none',
  // waits
  'no-instance',
  'account-busy',
  'target-busy',
  'budget',
  'unreachable',
  'locked',
  'expired',
  'unknown-answer',
  'store-away',
  'settling',
  // ends
  'rotated',
  'not-retired',
  'retired',
  'opens',
  'rehearsed',
  'scripts-only',
  'script-failed',
  'followed',
  'not-followed',
  'cancelled',
  'denied',
  'policy-refused',
  'precondition',
  'order-invalid',
  'order-spent',
  'record-invalid',
  'account-shared',
  'no-kind',
  'no-way-in',
  'superseded',
  'missed',
  // attention
  'poison',
  'record-edited',
  'nothing-opens',
  'waited-too-long',
  'drift',
  'late-effect',
  'restored',
  'internal',
]);
export type JobWhy = z.infer<typeof jobWhySchema>;

/** A sealed note: JWE under the facts key of the application; only people and instances of it read it. */
const noteSchema = z.strictObject({ gen: generationSchema, envelope: envelopeSchema.max(65_536) });
export const jobNoteSchema = noteSchema;

export const jobEntrySchema = z.strictObject({
  atMs: z.int(),
  instance: instanceIdSchema.nullable(),
  step: jobStepSchema,
  /** What happened: `claimed`, `staged`, `permitted`, `applied`, `probed`, … */
  what: z.string().max(64),
});
const outcomeCountsSchema = z.strictObject({
  done: z.int().min(0).max(64),
  failed: z.int().min(0).max(64),
  /** Begun, and nobody heard how it ended. */
  unknown: z.int().min(0).max(64),
  /** Not begun, because of something before it. */
  skipped: z.int().min(0).max(64),
});
/** How what follows a rotation went, in numbers; names and outputs are in the sealed notes. */
export const afterCountsSchema = z.strictObject({ scripts: outcomeCountsSchema, services: outcomeCountsSchema });
export type AfterCounts = z.infer<typeof afterCountsSchema>;

/** Of one job: 8 scripts of a record, its resource and its configuration each, 8 services, and what was edited meanwhile. */
export const followUpsKept = 96;
/**
 * A script or service of one job: `name` is a keyed hash of its signed text, of which the router learns nothing. `begun`
 * without an end: whoever began it was lost, and nobody knows how far it came.
 */
export const followUpSchema = z.strictObject({
  name: hashSchema,
  state: z.enum(['begun', 'done', 'failed', 'unknown']),
});
export type FollowUp = z.infer<typeof followUpSchema>;

export const jobViewSchema = z.strictObject({
  job: jobIdSchema,
  kind: jobKindSchema,
  gateway: gatewayUidSchema,
  record: itemUidSchema,
  state: jobStateSchema,
  step: jobStepSchema,
  why: jobWhySchema,
  /** Who ordered it; null: a schedule, a re-check. */
  person: personUidSchema.nullable(),
  /** Occurrence of the schedule that it is; null: on demand. */
  dueAtMs: z.int().nullable(),
  /** It began this long after it was due. */
  lateMs: z.int().min(0).nullable(),
  instance: instanceIdSchema.nullable(),
  /** Everybody who ran it, first to last. */
  instances: z.array(instanceIdSchema).max(64),
  attempts: z.int().min(0),
  sends: z.int().min(0),
  rejections: z.int().min(0),
  /** Version of the account that it sets or has set. */
  candidate: z.int().nullable(),
  cancelAsked: z.boolean(),
  /** Null: nothing followed it, or it did not come so far. */
  after: afterCountsSchema.nullable(),
  createdAtMs: z.int(),
  startedAtMs: z.int().nullable(),
  endedAtMs: z.int().nullable(),
  /** Not before this; of one that waits. */
  notBeforeMs: z.int().nullable(),
});
export type JobView = z.infer<typeof jobViewSchema>;

/** Orders that one call carries: its event names record and job of each. */
export const ordersInCall = 32;

/**
 * Starts jobs. Each id is the caller's, so that asking again is harmless; each `order` is what the instance obeys. One that is
 * refused keeps no other from beginning: `results` answers them in their order.
 */
export const startJobs = defineRoute({
  method: 'POST',
  path: '/v1/jobs',
  access: 'device',
  right: 'secrets',
  audited: true,
  query: empty,
  body: z.strictObject({
    orders: z
      .array(
        z.strictObject({
          job: jobIdSchema,
          kind: jobKindSchema,
          gateway: gatewayUidSchema,
          record: itemUidSchema,
          order: jwsSchema,
        }),
      )
      .min(1)
      .max(ordersInCall),
    event: jwsSchema,
  }),
  reply: z.strictObject({
    results: z
      .array(z.union([z.strictObject({ job: jobViewSchema }), z.strictObject({ error: wireErrorSchema })]))
      .max(ordersInCall),
  }),
  bodyLimitBytes: 262_144,
});

/** Newest first; `before` is the `createdAtMs` and id of the last one seen. */
export const listJobs = defineRoute({
  method: 'GET',
  path: '/v1/jobs',
  access: 'device',
  audited: false,
  query: z.strictObject({
    record: itemUidSchema.optional(),
    state: z.enum(['open', 'ended', 'attention', 'all']).default('all'),
    before: z
      .string()
      .regex(/^\d{1,15}\.[A-Za-z][\w-]{21}$/)
      .optional(),
  }),
  body: empty,
  reply: z.strictObject({ jobs: z.array(jobViewSchema).max(200), more: z.boolean() }),
  bodyLimitBytes: small,
});

/** One job with what happened, oldest first, and its sealed notes. */
export const getJob = defineRoute({
  method: 'GET',
  path: '/v1/jobs/:id',
  access: 'device',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({
    job: jobViewSchema,
    entries: z.array(jobEntrySchema).max(200),
    notes: z.array(noteSchema).max(64),
  }),
  bodyLimitBytes: small,
});

/** Before the first permit it ends at once; afterwards it finishes what it began, then stops. */
export const cancelJob = defineRoute({
  method: 'POST',
  path: '/v1/jobs/:id/cancel',
  access: 'device',
  right: 'secrets',
  audited: true,
  query: empty,
  body: z.strictObject({ event: jwsSchema }),
  reply: z.strictObject({ job: jobViewSchema }),
  bodyLimitBytes: 32_768,
});

/**
 * What is wrong with a record's rotation since its last run: it failed, could not begin when it was due, is open long after
 * that, or not all that follows it was done.
 */
export const rotationTroubleSchema = z.enum(['failed', 'missed', 'late', 'after']);
export type RotationTrouble = z.infer<typeof rotationTroubleSchema>;

export const accountVersionSchema = z.strictObject({
  n: z.int().min(0),
  rev: revisionSchema,
  gen: generationSchema,
  envelope: envelopeSchema,
  state: z.enum(['adopted', 'candidate', 'promoted', 'refused', 'recovered']),
  job: jobIdSchema.nullable(),
  /** Instance whose journal it came back from; null: the store never lost it. */
  source: instanceIdSchema.nullable(),
  atMs: z.int(),
});
export type AccountVersion = z.infer<typeof accountVersionSchema>;

/** What the store knows of a record's account: every version it may ever have had, sealed; newest first, at most 200. */
export const readRotation = defineRoute({
  method: 'GET',
  path: '/v1/items/:uid/rotation',
  access: 'device',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({
    account: z
      .strictObject({
        epoch: z.int(),
        send: z.int(),
        current: z.int().nullable(),
        job: jobIdSchema.nullable(),
        /** Refused logins that may still be spent now, and when there is one more. */
        budget: z.int().min(0),
        budgetAtMs: z.int().nullable(),
        attention: jobWhySchema.nullable(),
        /** An older credential may still open the account: jobs that tried to remove it, and when the next one does. */
        leftover: z.strictObject({ tries: z.int().min(0), nextTryMs: z.int().nullable() }).nullable(),
      })
      .nullable(),
    versions: z.array(accountVersionSchema).max(200),
    /** By the router's timer, jitter included; null: on demand. */
    nextDueMs: z.int().nullable(),
    lastJob: jobViewSchema.nullable(),
    trouble: rotationTroubleSchema.nullable(),
  }),
  bodyLimitBytes: small,
});

/**
 * Ends `attention`: version `n` of the account is what opens it. `secrets` is that secret sealed as the record's next
 * revision by the caller; absent when the vault's current one is right.
 */
export const resolveRotation = defineRoute({
  method: 'POST',
  path: '/v1/items/:uid/rotation/resolve',
  access: 'device',
  right: 'secrets',
  audited: true,
  query: empty,
  body: z.strictObject({
    version: z.int().min(0).nullable(),
    secrets: z.exactOptional(partEnvelopeSchema),
    event: jwsSchema,
  }),
  reply: z.strictObject({ item: itemSchema }),
  bodyLimitBytes: 131_072,
});

/** What instances of a gateway can rotate, by their own word. */
export const kindDescriptionSchema = z.strictObject({
  name: z.string().max(40),
  title: z.string().max(128),
  fence: z.strictObject({ admin: z.string().max(16).nullable(), own: z.string().max(16).nullable() }),
  changes: z.enum(['password', 'ssh-key']),
  triedAgainst: z.string().max(256).nullable(),
  untried: z.string().max(512).nullable(),
  ownCaveat: z.string().max(512),
});
export const listKinds = defineRoute({
  method: 'GET',
  path: '/v1/gateways/:uid/kinds',
  access: 'device',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({ instance: instanceIdSchema, kinds: z.array(kindDescriptionSchema).max(100) }),
  bodyLimitBytes: small,
});
