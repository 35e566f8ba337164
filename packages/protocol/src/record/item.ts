import { z } from 'zod';
import { applicationUidSchema, gatewayUidSchema, itemUidSchema } from '../ids.ts';
import { scheduleMirrorSchema } from './rotation.ts';

/** Everything the vault holds is an item: records, PAM configurations, and the names of applications and gateways. */
export const recordTypes = ['pamMachine', 'pamDatabase', 'pamDirectory', 'pamRemoteBrowser', 'pamUser'] as const;
export const configurationTypes = ['pamNetworkConfiguration'] as const;
export const itemTypes = ['application', 'gateway', ...recordTypes, ...configurationTypes] as const;

export const itemTypeSchema = z.enum(itemTypes);
export const recordTypeSchema = z.enum(recordTypes);
export type ItemType = z.infer<typeof itemTypeSchema>;
export type RecordType = z.infer<typeof recordTypeSchema>;

/** Part of an item, each an envelope of its own with its own revision. `state` is sealed with the facts key. */
export const partSchema = z.enum(['facts', 'secrets', 'state']);
export type Part = z.infer<typeof partSchema>;
/** The three keys of an application. */
export const keyPartSchema = z.enum(['facts', 'secrets', 'recordings']);
export type KeyPart = z.infer<typeof keyPartSchema>;

export const switchSchema = z.enum(['on', 'off', 'default']);
export type Switch = z.infer<typeof switchSchema>;

/** Permission switches; on a configuration `default` is not allowed, absent means off; on a record absent = default. */
export const permissionNames = ['connections', 'tunneling', 'rotation', 'recording'] as const;
export type PermissionName = (typeof permissionNames)[number];
export const recordPermissionsSchema = z.strictObject({
  connections: switchSchema.default('default'),
  tunneling: switchSchema.default('default'),
  rotation: switchSchema.default('default'),
  recording: switchSchema.default('default'),
});
const onOffSchema = z.enum(['on', 'off']);
export const configurationPermissionsSchema = z.strictObject({
  connections: onOffSchema.default('off'),
  tunneling: onOffSchema.default('off'),
  rotation: onOffSchema.default('off'),
  recording: onOffSchema.default('off'),
});

/**
 * Plain columns that the router keeps for lists and early refusals. Nothing that decides reads them: the instance
 * decides from the sealed facts, and `pam` reports a mirror that differs from them.
 */
export const mirrorSchema = z.strictObject({
  gateway: gatewayUidSchema.nullable(),
  configuration: itemUidSchema.nullable(),
  credentials: z.array(itemUidSchema).max(64),
  permissions: z.strictObject({
    connections: switchSchema,
    tunneling: switchSchema,
    rotation: switchSchema,
    recording: switchSchema,
  }),
  /** When its rotation is due, and where its account lives; absent or null: none is switched on. */
  rotation: z.exactOptional(scheduleMirrorSchema.nullable()),
});
export type Mirror = z.infer<typeof mirrorSchema>;

/** A compact JWE or JWS; 96 KiB is room for 64 KiB of plaintext. */
export const envelopeSchema = z
  .string()
  .min(16)
  .max(98_304)
  .regex(/^[\w.-]+$/);
export const revisionSchema = z.int().min(1).max(1_000_000_000);
export const generationSchema = z.int().min(1).max(1_000_000);

export const partEnvelopeSchema = z.strictObject({
  rev: revisionSchema,
  gen: generationSchema,
  envelope: envelopeSchema,
});
export type PartEnvelope = z.infer<typeof partEnvelopeSchema>;

export const itemSchema = z.strictObject({
  uid: itemUidSchema,
  app: applicationUidSchema,
  type: itemTypeSchema,
  mirror: mirrorSchema,
  createdAtMs: z.int(),
  modifiedAtMs: z.int(),
  parts: z.strictObject({
    facts: partEnvelopeSchema.optional(),
    secrets: partEnvelopeSchema.optional(),
    state: partEnvelopeSchema.optional(),
  }),
});
export type Item = z.infer<typeof itemSchema>;
