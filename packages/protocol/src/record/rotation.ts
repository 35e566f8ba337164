import { z } from 'zod';
import { itemUidSchema } from '../ids.ts';

/**
 * `len,upper,lower,digits,symbols[,SPECIALS]` taken apart: least numbers of each class, and which symbols may be used.
 * The classes together are at most the length.
 */
export const complexitySchema = z
  .strictObject({
    length: z.int().min(8).max(256),
    upper: z.int().min(0).max(256),
    lower: z.int().min(0).max(256),
    digits: z.int().min(0).max(256),
    symbols: z.int().min(0).max(256),
    specials: z
      .string()
      .max(64)
      .regex(/^[!-/:-@[-`{-~]*$/),
  })
  .refine((c) => c.upper + c.lower + c.digits + c.symbols <= c.length);
export type Complexity = z.infer<typeof complexitySchema>;
export const defaultComplexity: Complexity = {
  ...{ length: 32, upper: 1, lower: 1, digits: 1, symbols: 1 },
  specials: '-_.+=:@%',
};

const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/);
const weekday = z.enum(['MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT', 'SUN']);
const zone = z.string().min(1).max(64);
const every = z.int().min(1).max(52).default(1);

/** When a rotation is due. `tz` is an IANA zone; times that a zone skips or repeats follow the library's rule, once. */
export const scheduleSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('cron'), cron: z.string().min(9).max(256), tz: zone }),
  z.strictObject({ kind: z.literal('daily'), time: timeOfDay, tz: zone, every }),
  z.strictObject({ kind: z.literal('weekly'), time: timeOfDay, tz: zone, weekday, every }),
  z.strictObject({
    kind: z.literal('monthly-by-day'),
    time: timeOfDay,
    tz: zone,
    monthDay: z.int().min(1).max(31),
    every,
  }),
  z.strictObject({
    kind: z.literal('monthly-by-weekday'),
    ...{ time: timeOfDay, tz: zone, weekday, every },
    occurrence: z.enum(['FIRST', 'SECOND', 'THIRD', 'FOURTH', 'LAST']),
  }),
  z.strictObject({
    kind: z.literal('yearly'),
    ...{ time: timeOfDay, tz: zone, every },
    month: z.int().min(1).max(12),
    monthDay: z.int().min(1).max(31),
  }),
  z.strictObject({ kind: z.literal('once'), atMs: z.int().min(0) }),
]);
export type Schedule = z.infer<typeof scheduleSchema>;

const word = z
  .string()
  .min(1)
  .max(1_024)
  .regex(/^[^\0]*$/);

/**
 * What runs after a rotation. `signed`: JWS (typ sallyport-script+jws) by a device with the right 'gateways' over
 * application, record, name, place, command and the SHA-256 of `body`: what runs on a gateway needs that right.
 */
export const scriptSchema = z.strictObject({
  name: z.string().min(1).max(128),
  /** Where: on the gateway's host, or on a Linux machine over SSH. */
  on: z.enum(['gateway', 'target']),
  /** `pamMachine` that `target` means. Absent: the resource of the account, which then must be one. */
  machine: z.exactOptional(itemUidSchema),
  /** `pamUser` to log in with there. Absent: the administrative credential of the machine. */
  as: z.exactOptional(itemUidSchema),
  /** Program and arguments that get the body as a file; empty: the body itself is run by its first line. */
  command: z.array(word).max(16),
  body: z.string().max(24_576),
  /** Records whose facts and secrets are given to the script. */
  records: z.array(itemUidSchema).max(8),
  timeoutSeconds: z.int().min(1).max(600),
  enabled: z.boolean(),
  signed: z.string().min(16).max(8_192),
});
export type Script = z.infer<typeof scriptSchema>;

/**
 * How a value is written into a file, so that none can end its place and begin another.
 *
 * `raw`: as it is. `ini`: as it is, where it is nothing but letters, digits and `-_.+=:@%/,^~`. `shell`: in double quotes,
 * as sh and systemd's EnvironmentFile read them. `json`: a JSON string with its quotes, which YAML and TOML read too. `xml`:
 * text or attribute. `url`: percent-encoded. Control characters are refused by all of them.
 */
export const escapeSchema = z.enum(['raw', 'ini', 'shell', 'json', 'xml', 'url']);
export type Escape = z.infer<typeof escapeSchema>;

/** Absolute, with nothing in it that a file system would resolve: no `.`, no `..`, no empty part. */
const filePath = z
  .string()
  .max(1_024)
  .regex(/^(?:(?:\/(?!\.{1,2}(?:\/|$))[^/\p{Cc}\p{Zl}\p{Zp}]+)+)?$/u);

/**
 * A service on Linux that uses the account: a file is rendered and moved into place, a unit restarted. `signed`: JWS (typ
 * sallyport-service+jws) by a device with the right 'gateways' over all the rest: it is done as root.
 */
export const serviceSchema = z
  .strictObject({
    name: z.string().min(1).max(128),
    /** `pamMachine` it runs on. */
    machine: itemUidSchema,
    /** `pamUser` to log in with there. Absent: the administrative credential of the machine. */
    as: z.exactOptional(itemUidSchema),
    /** Unit or service to restart; empty: none. */
    unit: z
      .string()
      .max(256)
      .regex(/^(?:[A-Za-z\d_@][\w@.:-]*)?$/),
    /** `systemctl restart UNIT`, or `service UNIT restart`. */
    manager: z.enum(['systemd', 'sysv']),
    /** File to write, which is there already; empty: none. */
    file: filePath,
    /** `{{user}}` and `{{password}}` are replaced. */
    template: z.string().max(8_192),
    escape: escapeSchema,
    signed: z.string().min(16).max(8_192),
  })
  .refine(({ unit, file }) => unit !== '' || file !== '', 'neither a unit nor a file');
export type Service = z.infer<typeof serviceSchema>;

/** Rotation settings of a `pamUser`, inside its sealed facts. */
export const rotationSettingsSchema = z.strictObject({
  enabled: z.boolean(),
  /** The resource the account lives on; null with `noop`. */
  resource: itemUidSchema.nullable(),
  /** `resource`: by the resource's administrative credential; `own`: the account changes itself; `auto`: the first if there is one. */
  by: z.enum(['auto', 'admin', 'own']),
  /** Scripts only: nothing is changed by us; the scripts change the target. */
  noop: z.boolean(),
  /** Name of a target kind; empty: the one that serves the resource. */
  kind: z.string().max(40),
  changes: z.enum(['password', 'ssh-key']),
  complexity: complexitySchema.nullable(),
  /** JWS (typ sallyport-standing-order+jws); null: on demand. */
  standing: z.string().min(16).max(8_192).nullable(),
  replicas: z.array(z.strictObject({ host: z.string().min(1).max(253), port: z.int().min(1).max(65_535) })).max(16),
  scripts: z.array(scriptSchema).max(8),
  services: z.array(serviceSchema).max(8),
});
export type RotationSettings = z.infer<typeof rotationSettingsSchema>;

/** Plain copy of a rotation for the router's timer and offers; the instance decides from what is sealed and signed. */
export const scheduleMirrorSchema = z.strictObject({
  /** Null: on demand. */
  schedule: scheduleSchema.nullable(),
  /** Where the account lives: offered with the record. */
  resource: itemUidSchema.nullable(),
  /** From where intervals count: `iat` of the standing order, ms. Absent: from when the router saw the rule. */
  anchorMs: z.exactOptional(z.int().min(0)),
});
