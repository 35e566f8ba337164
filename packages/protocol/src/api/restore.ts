import { z } from 'zod';
import { gatewayUidSchema, instanceIdSchema } from '../ids.ts';
import { itemSchema } from '../record/item.ts';
import { defineRoute } from './route.ts';
import { empty, hashSchema, headSchema, jwsSchema, small } from './shapes.ts';
import { writeItemSchema } from './vault.ts';

/**
 * Entries of the trust log, or signed events of a device, that one call gives back; `chars` counts their texts. Who gave back and
 * is shown less again gives nothing more for `pauseMs`.
 */
export const giveBackLimits = { entries: 128, events: 64, chars: 262_144, pauseMs: 600_000 } as const;

const within = (texts: readonly string[]): boolean =>
  texts.reduce((chars, text) => chars + text.length, 0) <= giveBackLimits.chars;
/** Entries of the trust log in order, of which the first follows the router's last. */
export const givenBackEntriesSchema = z.array(jwsSchema).min(1).max(giveBackLimits.entries).refine(within);

/**
 * Entries of the trust log that the router lost. They are checked and executed as new ones are, and taken also while it takes
 * no new ones. PAM_TRUST_LOG_MOVED when they do not continue its log.
 */
export const giveBackLog = defineRoute({
  method: 'POST',
  path: '/v1/log/given-back',
  access: 'enrolling',
  audited: false,
  query: empty,
  body: z.strictObject({ entries: givenBackEntriesSchema }),
  reply: z.strictObject({ head: headSchema }),
  bodyLimitBytes: 327_680,
});

/**
 * Events of the caller's own chain that the router lost, in order, the first following the one it knows as the last. Nothing is
 * executed: they are stored as `event.given-back`. PAM_AUDIT_SEQUENCE when they do not continue the chain.
 */
export const giveBackEvents = defineRoute({
  method: 'POST',
  path: '/v1/audit/actor/given-back',
  access: 'device',
  audited: false,
  query: empty,
  body: z.strictObject({ events: z.array(jwsSchema).min(1).max(giveBackLimits.events).refine(within) }),
  reply: z.strictObject({ seq: z.int().min(0), hash: z.string().max(43) }),
  bodyLimitBytes: 327_680,
});

/** Last event of one start of a router: [start, seq, hash]. */
const chainEndSchema = z.tuple([z.int(), z.int().min(1), hashSchema]);
export type AuditChainEnd = z.infer<typeof chainEndSchema>;
/** Ends that a reopening holds: of the newest starts before the restore. */
export const mostAuditEnds = 1_000;

/** What the router knows of its last restore; `restore` is null when there was none. */
export const readRestore = defineRoute({
  method: 'GET',
  path: '/v1/restore',
  access: 'device',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({
    restore: z
      .strictObject({
        incarnation: z.int().min(1),
        atMs: z.int(),
        /** Does it still refuse new entries of the trust log? */
        closed: z.boolean(),
        /** Where the trust log ended in the backup. */
        before: headSchema,
        /** Starts of the router up to this one are from before the restore. */
        lastStart: z.int().min(0),
        ends: z.array(chainEndSchema).max(mostAuditEnds),
        /** Instances that the backup knows as members and that have not said hello since. */
        notBack: z
          .array(
            z.strictObject({ gateway: gatewayUidSchema, instance: instanceIdSchema, deviceName: z.string().max(255) }),
          )
          .max(1_000),
        /** Gateways and applications of the log that this router has no settings of. */
        withoutSettings: z.array(z.string().length(22)).max(1_000),
      })
      .nullable(),
    head: headSchema,
  }),
  bodyLimitBytes: small,
});

/**
 * Lets the router take new entries again after a restore. `ends`: digest of the ends that `readRestore` told, which holds the
 * audit log to them. PAM_CONFLICT when it was reopened already or restored once more, PAM_TRUST_LOG_MOVED when its log is another.
 */
export const reopenLog = defineRoute({
  method: 'POST',
  path: '/v1/restore/reopen',
  access: 'device',
  right: 'router',
  audited: true,
  query: empty,
  body: z.strictObject({
    incarnation: z.int().min(1),
    head: headSchema,
    lastStart: z.int().min(0),
    ends: hashSchema,
    event: jwsSchema,
  }),
  reply: z.strictObject({ head: headSchema }),
  bodyLimitBytes: 32_768,
});

/** A record's revision may jump over those that were lost by at most this many. */
export const mostLostRevisions = 1_000;

/**
 * Says which revisions of an item the caller's device saw and gives up for those that the router has; the router notes it. `item`: the
 * facts as the router has them, sealed anew under the revision after the one that was seen, so that whoever saw that one goes on
 * without giving anything up. Rights as for a write of them. PAM_CONFLICT when the router has others than `shown`.
 */
export const acceptOlder = defineRoute({
  method: 'POST',
  path: '/v1/items/:uid/accept-older',
  access: 'device',
  audited: true,
  query: empty,
  body: z.strictObject({
    parts: z
      .array(z.strictObject({ part: z.enum(['facts', 'secrets']), seen: z.int().min(1), shown: z.int().min(1) }))
      .min(1)
      .max(2),
    item: z.exactOptional(writeItemSchema),
    event: jwsSchema,
  }),
  reply: z.strictObject({ item: itemSchema }),
  bodyLimitBytes: 262_144,
});
