import { z } from 'zod';
import { gatewayUidSchema, itemUidSchema } from '../ids.ts';
import { configurationPermissionsSchema, type ItemType, recordPermissionsSchema } from './item.ts';
import { rotationSettingsSchema, scheduleSchema, scriptSchema } from './rotation.ts';

/**
 * What is sealed inside an item, per type and part. Field names follow the product's record types
 * (reference section 4.1) in lower camel case; unknown fields go to `custom`.
 */
const title = z.string().min(1).max(256);
const host = z.string().min(1).max(253);
const port = z.int().min(1).max(65_535);
const shortText = z.string().max(1_024);
const notes = z.string().max(16_384).optional();
const tags = z.array(z.string().min(1).max(64)).max(64).default([]);
const custom = z.record(z.string().min(1).max(64), shortText).default({});

/** `first-seen` trusts the first server identity and keeps it in `state`; a pin is compared. */
export const serverIdentitySchema = z.union([z.literal('first-seen'), z.string().min(8).max(512)]);

/** How a resource uses a credential record. */
export const credentialLinkSchema = z.strictObject({ record: itemUidSchema, role: z.enum(['admin', 'launch']) });

/** Where a credential may be used: named in the credential's own record, compared in full by the instance. */
export const usableOnSchema = z.strictObject({
  resource: itemUidSchema,
  host,
  port,
  serverIdentity: serverIdentitySchema,
});

const resourceBase = {
  title,
  host,
  port,
  serverIdentity: serverIdentitySchema.default('first-seen'),
  configuration: itemUidSchema.nullable(),
  allowSupplyHost: z.boolean().default(false),
  permissions: recordPermissionsSchema.prefault({}),
  credentials: z.array(credentialLinkSchema).max(64).default([]),
  /** Run after a rotation of any user of this resource. */
  rotationScripts: z.exactOptional(z.array(scriptSchema).max(8)),
  tags,
  notes,
  custom,
};

export const applicationFactsSchema = z.strictObject({ title });
export const gatewayFactsSchema = z.strictObject({ title, notes });
const machineFactsSchema = z.strictObject({ ...resourceBase, operatingSystem: shortText.optional() });
const databaseFactsSchema = z.strictObject({
  ...resourceBase,
  databaseType: z
    .enum(['postgresql', 'mysql', 'mariadb', 'mssql', 'oracle', 'mongodb', 'redis', 'other'])
    .default('other'),
  useSsl: z.boolean().default(false),
  databaseId: shortText.optional(),
});
const directoryFactsSchema = z.strictObject({
  ...resourceBase,
  directoryType: z.enum(['active_directory', 'openldap']).default('openldap'),
  domainName: shortText.optional(),
  alternativeIps: z.array(z.string().max(64)).max(32).default([]),
  useSsl: z.boolean().default(true),
});
const remoteBrowserFactsSchema = z.strictObject({ ...resourceBase, url: z.url().max(2_048) });
export const userFactsSchema = z.strictObject({
  title,
  login: z.string().max(256).default(''),
  distinguishedName: shortText.optional(),
  connectDatabase: shortText.optional(),
  managed: z.boolean().default(false),
  configuration: itemUidSchema.nullable().default(null),
  usableOn: z.array(usableOnSchema).max(64).default([]),
  /** Absent: the secret is not rotated. */
  rotation: z.exactOptional(rotationSettingsSchema),
  tags,
  notes,
  custom,
});
export const userSecretsSchema = z.strictObject({
  password: z.string().max(1_024).optional(),
  privatePemKey: z.string().max(32_768).optional(),
  passphrase: z.string().max(1_024).optional(),
  oneTimeCode: z.string().max(1_024).optional(),
  custom,
});
export const networkConfigurationFactsSchema = z.strictObject({
  title,
  gateway: gatewayUidSchema,
  /** CIDRs; special address ranges are dialled only when listed here. */
  networks: z.array(z.string().min(3).max(64)).max(256).default([]),
  permissions: configurationPermissionsSchema.prefault({}),
  /** Run after a rotation of any user of this configuration, last. */
  rotationScripts: z.exactOptional(z.array(scriptSchema).max(8)),
  /** Offered for users without a schedule of their own; signed into each record that takes it. */
  rotationSchedule: z.exactOptional(scheduleSchema),
  tags,
  notes,
  custom,
});

/** Facts schema of each item type. */
export const factsSchemas = {
  application: applicationFactsSchema,
  gateway: gatewayFactsSchema,
  pamMachine: machineFactsSchema,
  pamDatabase: databaseFactsSchema,
  pamDirectory: directoryFactsSchema,
  pamRemoteBrowser: remoteBrowserFactsSchema,
  pamUser: userFactsSchema,
  pamNetworkConfiguration: networkConfigurationFactsSchema,
} as const satisfies Record<ItemType, z.ZodType>;

export type ApplicationFacts = z.infer<typeof applicationFactsSchema>;
export type GatewayFacts = z.infer<typeof gatewayFactsSchema>;
export type NetworkConfigurationFacts = z.infer<typeof networkConfigurationFactsSchema>;
export type UserFacts = z.infer<typeof userFactsSchema>;
export type UserSecrets = z.infer<typeof userSecretsSchema>;
/** A record one can connect to. */
export type ResourceFacts =
  | z.infer<typeof machineFactsSchema>
  | z.infer<typeof databaseFactsSchema>
  | z.infer<typeof directoryFactsSchema>
  | z.infer<typeof remoteBrowserFactsSchema>;
export const resourceTypes = ['pamMachine', 'pamDatabase', 'pamDirectory', 'pamRemoteBrowser'] as const;
