import { z } from 'zod';
import {
  accountVersionSchema,
  afterCountsSchema,
  followUpSchema,
  followUpsKept,
  jobKindSchema,
  jobNoteSchema,
  jobStepSchema,
  jobWhySchema,
  kindDescriptionSchema,
  sendOutcomeSchema,
} from '../api/job.ts';
import { hashSchema, headSchema, jwsSchema } from '../api/shapes.ts';
import { itemUidSchema, jobIdSchema } from '../ids.ts';
import { envelopeSchema, generationSchema, itemSchema, partEnvelopeSchema, revisionSchema } from '../record/item.ts';

/**
 * Jobs on the control link. The router offers, the instance claims: the claim's transaction is the commit. Every call of
 * the instance names the job and the epoch its claim gave it; one of an older epoch is refused with PAM_JOB_FENCED. Each
 * is idempotent by (job, epoch, key): the answer of one that was done before is the answer it had.
 */
const at = { job: jobIdSchema, epoch: z.int().min(1) };
const key = z.string().regex(/^[\w-]{8,64}$/);
const number = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const noResult = z.strictObject({});

/** All settable times that a lease rests on, ms; they hold from this answer on. */
const leaseTimes = z.strictObject({
  leaseMs: z.int().min(100),
  fenceMs: z.int().min(50),
  renewalMs: z.int().min(10),
  quiesceMs: z.int().min(10),
  effectMs: z.int().min(10),
});

/**
 * `lease`: the one it holds, or null for a new one, above `after`, the highest it ever heard of (0: none). One that is
 * above it and held is answered again: it was given to the same question. PAM_LEASE_LOST: it was given away; everything
 * under it stops.
 */
const renewParams = z.strictObject({ lease: number.nullable(), after: number });
const renewResult = z.strictObject({ lease: number, times: leaseTimes });
/** Nothing runs under it any more: its jobs may go on elsewhere at once. */
const releaseParams = z.strictObject({ lease: number });

/**
 * router → instance: one job. `items`: the record with facts, secrets and state; its resource, configuration and the
 * administrative credential; records its scripts name. Nothing is dialled before the claim is answered.
 */
const offerParams = z.strictObject({
  job: jobIdSchema,
  kind: jobKindSchema,
  record: itemUidSchema,
  /** Signed by a device; null for an occurrence of the standing order in the facts, or a re-check. */
  order: jwsSchema.nullable(),
  /** Occurrence (Unix ms) of the standing order. */
  dueAtMs: z.int().nullable(),
  slot: z.int(),
  /** As many as one message carries; the record first. */
  items: z.array(itemSchema).min(1).max(96),
  head: headSchema,
});
const offerResult = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('accepted') }),
  /** `busy`, `draining`, `no-lease`: another instance may; `denied`: nobody may, with why. */
  z.strictObject({
    kind: z.literal('refused'),
    class: z.enum(['busy', 'draining', 'no-lease', 'denied']),
    why: jobWhySchema,
    note: jobNoteSchema.nullable(),
  }),
]);

/** PAM_JOB_BUSY (account has another open job), PAM_JOB_ENDED, PAM_JOB_POISON, PAM_ACCOUNT_SHARED, PAM_LEASE_LOST. */
const claimParams = z.strictObject({
  job: jobIdSchema,
  lease: number,
  account: hashSchema,
  /** Keyed hash of the server: scheduled runs of one server come one at a time. */
  server: hashSchema,
});
const claimResult = z.strictObject({
  epoch: z.int().min(1),
  step: jobStepSchema,
  /** Revision of the record's secrets; 0 when it has none yet. */
  base: z.int().min(0).max(1_000_000_000),
  /** Version that the vault holds; 0, and no such version among them, when the record has no secrets yet. */
  current: number,
  candidate: number.nullable(),
  rejections: number,
  sends: z.array(z.strictObject({ send: number, version: number, outcome: sendOutcomeSchema.nullable() })).max(64),
  /** Sealed note that the permit was given with: where the last write went. */
  address: jobNoteSchema.nullable(),
  cancelAsked: z.boolean(),
  /** Scripts and services that were begun before, by an earlier holder or, ended well, by an earlier job. */
  followUps: z.array(followUpSchema).max(followUpsKept),
  /** Newest first; the twelve newest, the current one and the candidate at least. */
  versions: z.array(accountVersionSchema).max(24),
});

/** A candidate, sealed as the record's secrets of revision base + 1. Answered once it is stored for good. */
const stageParams = z.strictObject({
  ...at,
  key,
  rev: revisionSchema,
  gen: generationSchema,
  envelope: envelopeSchema,
});
const stageResult = z.strictObject({ version: number });

/**
 * `mark`: highest number that the target shows. The send is above it and above every one given before. `adds`: what opened
 * the account before goes on to open it until it is removed.
 */
const permitParams = z.strictObject({
  ...at,
  key,
  mark: number,
  adds: z.exactOptional(z.boolean()),
  address: jobNoteSchema,
});
const permitResult = z.strictObject({ send: number });

/** One login with a credential that may be wrong, taken before it is tried; returned when it opened or none was shown. */
const loginParams = z.strictObject({ job: jobIdSchema, account: hashSchema, id: key, act: z.enum(['take', 'return']) });
const loginResult = z.strictObject({ granted: z.boolean(), inMs: z.int().min(0) });

const reportParams = z.strictObject({
  ...at,
  key,
  what: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('wrote'), send: number, outcome: sendOutcomeSchema }),
    z.strictObject({ kind: z.literal('verified'), version: number, send: number.nullable() }),
    z.strictObject({ kind: z.literal('converged'), agreed: z.boolean() }),
    /** Nothing older than `version` opens any more. */
    z.strictObject({ kind: z.literal('retired'), version: number }),
    /** Before a script or service begins, and when it ended. A script that was begun is begun by nobody else: PAM_CONFLICT. */
    z.strictObject({ kind: z.literal('follow-up'), isOnce: z.boolean(), ...followUpSchema.shape }),
    /** It stays here and goes on at `untilMs` (wall): for the people who watch. */
    z.strictObject({ kind: z.literal('waits'), why: jobWhySchema, untilMs: number }),
  ]),
  note: jobNoteSchema.nullable(),
});

/** The vault's pointer moves: revision base + 1 becomes the record's secrets, in the transaction that checks everything. */
const promoteParams = z.strictObject({ ...at, version: number, signed: jwsSchema });
const promoteResult = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('promoted') }),
  z.strictObject({ kind: z.literal('edited'), rev: revisionSchema }),
]);

/** Given back, to go on later from its stored step. */
const waitParams = z.strictObject({
  ...at,
  inMs: z.int().min(0).max(86_400_000),
  why: jobWhySchema,
  note: jobNoteSchema.nullable(),
});
/** `recheckMs`: checks to be made after the end (fence `none`). */
const finishParams = z.strictObject({
  ...at,
  outcome: z.enum(['done', 'failed', 'attention', 'cancelled']),
  why: jobWhySchema,
  note: jobNoteSchema.nullable(),
  recheckMs: z.array(z.int().min(1_000).max(604_800_000)).max(8),
  /** Scripts and services that followed; undoes nothing, whatever it says. */
  after: z.exactOptional(afterCountsSchema),
  signed: jwsSchema,
});

/** A write of this instance went out later than its permit allowed: it woke up in between. */
const lateParams = z.strictObject({
  job: jobIdSchema,
  account: hashSchema,
  send: number,
  note: jobNoteSchema.nullable(),
});

/**
 * What an instance keeps of the candidates it worked with, so that a store restored from an older backup gets back what
 * it lost. `digest`: SHA-256 of the sealed candidate, base64url; `epoch` and `send`: the highest it saw of the account.
 */
const kept = { account: hashSchema, record: itemUidSchema, job: jobIdSchema };
const compareParams = z.strictObject({
  entries: z
    .array(z.strictObject({ ...kept, server: hashSchema, digest: hashSchema, epoch: number, send: number }))
    .max(64),
});
/** `start`: of this router (Unix ms); while it is the same the store was not exchanged. `wanted`: digests it lacks. */
const compareResult = z.strictObject({ start: z.int(), wanted: z.array(hashSchema).max(64) });
/** One that was wanted. PAM_CONFLICT: of another record or account, or too many of it came back. */
const recoverParams = z.strictObject({
  ...kept,
  rev: revisionSchema,
  gen: generationSchema,
  envelope: envelopeSchema,
  atMs: z.int().min(0),
});

/** A revision of an item's state (server identity first seen, last run), sealed and signed by the pool. */
const stateParams = z.strictObject({ uid: itemUidSchema, state: partEnvelopeSchema });

const cancelParams = z.strictObject({ job: jobIdSchema });
const kindsResult = z.strictObject({ kinds: z.array(kindDescriptionSchema).max(100) });

export const jobMethods = {
  'lease.renew': { from: 'instance', kind: 'request', params: renewParams, result: renewResult },
  'lease.release': { from: 'instance', kind: 'request', params: releaseParams, result: noResult },
  'job.offer': { from: 'router', kind: 'request', params: offerParams, result: offerResult },
  'job.cancel': { from: 'router', kind: 'notification', params: cancelParams, result: noResult },
  'job.claim': { from: 'instance', kind: 'request', params: claimParams, result: claimResult },
  'job.stage': { from: 'instance', kind: 'request', params: stageParams, result: stageResult },
  'job.permit': { from: 'instance', kind: 'request', params: permitParams, result: permitResult },
  'job.login': { from: 'instance', kind: 'request', params: loginParams, result: loginResult },
  'job.report': { from: 'instance', kind: 'request', params: reportParams, result: noResult },
  'job.promote': { from: 'instance', kind: 'request', params: promoteParams, result: promoteResult },
  'job.wait': { from: 'instance', kind: 'request', params: waitParams, result: noResult },
  'job.finish': { from: 'instance', kind: 'request', params: finishParams, result: noResult },
  'job.late': { from: 'instance', kind: 'request', params: lateParams, result: noResult },
  'journal.compare': { from: 'instance', kind: 'request', params: compareParams, result: compareResult },
  'journal.recover': { from: 'instance', kind: 'request', params: recoverParams, result: noResult },
  'vault.state': { from: 'instance', kind: 'request', params: stateParams, result: noResult },
  'kind.list': { from: 'router', kind: 'request', params: noResult, result: kindsResult },
} as const;
