import {
  factsSchemas,
  type ItemUid,
  PamError,
  permissionNames,
  type RecordType,
  recordTypes,
  type ResourceFacts,
  type UserFacts,
  type UserSecrets,
  userSecretsSchema,
} from '@sallyport/protocol';
import { z } from 'zod';
import { resolveName } from './resolve.ts';
import { checkTarget } from './target-address.ts';
import { checkFacts, type FactsOf } from './facts.ts';
import type { OpenedItem } from './vault.ts';

/**
 * A record as people write it: the JSON of `pam record template`, a line of an import, or flags put into the same form.
 * Names stand where the sealed facts have UIDs.
 */
const switchText = z.enum(['on', 'off', 'default']);
const recordInputSchema = z.strictObject({
  type: z.enum(recordTypes).optional(),
  title: z.string().max(256).optional(),
  application: z.string().max(256).optional(),
  configuration: z.string().max(256).nullable().optional(),
  permissions: z.partialRecord(z.enum(permissionNames), switchText).optional(),
  /** `NAME`, `NAME:admin`, `NAME:launch`, or the sealed form. */
  credentials: z
    .array(
      z.union([
        z.string().max(320),
        z.strictObject({ record: z.string().max(256), role: z.enum(['admin', 'launch']) }),
      ]),
    )
    .max(64)
    .optional(),
  /** Every other field of the type; unknown ones are refused by the type's schema. */
  fields: z.record(z.string().max(64), z.unknown()).default({}),
  secrets: userSecretsSchema.partial().optional(),
});
export type RecordInput = z.infer<typeof recordInputSchema>;

const ownKeys = new Set(['type', 'title', 'application', 'configuration', 'permissions', 'credentials', 'secrets']);

/** Reads JSON as people write it: the fields of the type stand beside `type` and `title`. PAM_USAGE naming the field. */
export function readRecordInput(value: unknown): RecordInput {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PamError('PAM_USAGE', 'a record is a JSON object', { remedy: 'See pam record template TYPE.' });
  }
  refuseOpenSecrets(Object.keys(value));
  const own: Record<string, unknown> = {};
  const fields: Record<string, unknown> = {};
  for (const [key, content] of Object.entries(value)) (ownKeys.has(key) ? own : fields)[key] = content;
  const parsed = recordInputSchema.safeParse({ ...own, fields });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new PamError('PAM_USAGE', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not understood'}`, {
    remedy: 'See pam record template TYPE.',
  });
}

/** Names by which people put a secret beside the title; its name under `secrets`. */
const secretNames: Readonly<Record<string, keyof UserSecrets>> = {
  password: 'password',
  privatePemKey: 'privatePemKey',
  privateKey: 'privatePemKey',
  private_key: 'privatePemKey',
  passphrase: 'passphrase',
  oneTimeCode: 'oneTimeCode',
};

/** Whether people call a secret of a pamUser so. */
export const isSecretName = (name: string): boolean => Object.hasOwn(secretNames, name);

/** Fields are listed and sent to whoever sees the record; a secret among them is an error, and never shown in it. */
function refuseOpenSecrets(keys: readonly string[]): void {
  const found = keys.find(isSecretName);
  if (found === undefined) return;
  const name = secretNames[found] ?? '';
  throw new PamError('PAM_USAGE', `“${found}” is a secret and stands among the fields`, {
    remedy: `Put it under "secrets" of a pamUser: "secrets": {"${name}": …}; a resource links that user under "credentials".`,
    detail: { field: found },
  });
}

/** What names are resolved against. */
export interface KnownItems {
  readonly configurations: readonly OpenedItem<'pamNetworkConfiguration'>[];
  readonly users: readonly OpenedItem<'pamUser'>[];
}

/** Facts and secrets ready to be sealed, and the users whose records must name this resource. */
export interface RecordDraft<Type extends RecordType = RecordType> {
  readonly type: Type;
  readonly facts: FactsOf<Type>;
  readonly secrets: UserSecrets | undefined;
  readonly configuration: OpenedItem<'pamNetworkConfiguration'> | null;
  readonly credentials: readonly OpenedItem<'pamUser'>[];
}

/**
 * Turns what was written into facts, on top of `before` when a record is edited: what is not named stays. Names are
 * resolved, the address is compared with the configuration's networks, every field is bounded by the type's schema.
 * PAM_USAGE, PAM_NOT_FOUND, PAM_AMBIGUOUS, PAM_TARGET_NOT_ALLOWED.
 */
export function draftRecord(
  type: RecordType,
  input: RecordInput,
  known: KnownItems,
  before: { readonly app: string; readonly facts: FactsOf<RecordType>; readonly secrets: UserSecrets | null } | null,
  app: string,
): RecordDraft {
  if (input.type !== undefined && input.type !== type) {
    throw new PamError('PAM_USAGE', `the JSON says ${input.type}, the command ${type}`);
  }
  const inApp = <T extends { readonly app: string }>(items: readonly T[]) => items.filter((item) => item.app === app);
  const configuration = pickConfiguration(input, inApp(known.configurations), before);
  if (type === 'pamUser') return draftUser(input, before, configuration);
  if (input.secrets !== undefined || input.fields['login'] !== undefined) {
    throw new PamError(
      'PAM_USAGE',
      `a ${type} holds no login and no secrets: make a pamUser and link it with --credential`,
    );
  }
  const old = before?.facts as ResourceFacts | undefined;
  const links = input.credentials?.map((link) => readLink(link, inApp(known.users)));
  const facts: ResourceFacts = checkFacts<Exclude<RecordType, 'pamUser'>>(type, {
    ...old,
    ...(input.title === undefined ? {} : { title: input.title }),
    ...withCustom(type, input.fields, old?.custom),
    configuration: configuration?.uid ?? null,
    permissions: { ...old?.permissions, ...input.permissions },
    credentials: links?.map(({ user, role }) => ({ record: user.uid, role })) ?? old?.credentials ?? [],
  });
  checkTarget(
    facts.host,
    configuration === null ? null : { title: configuration.title, networks: configuration.facts.networks },
  );
  return { type, facts, secrets: undefined, configuration, credentials: links?.map(({ user }) => user) ?? [] };
}

function pickConfiguration(
  input: RecordInput,
  configurations: readonly OpenedItem<'pamNetworkConfiguration'>[],
  before: { readonly facts: FactsOf<RecordType> } | null,
): OpenedItem<'pamNetworkConfiguration'> | null {
  if (input.configuration === null) return null;
  if (input.configuration !== undefined) return resolveName('PAM configuration', input.configuration, configurations);
  const old = before?.facts.configuration ?? null;
  return old === null ? null : (configurations.find((one) => one.uid === old) ?? null);
}

function draftUser(
  input: RecordInput,
  before: { readonly facts: FactsOf<RecordType>; readonly secrets: UserSecrets | null } | null,
  configuration: OpenedItem<'pamNetworkConfiguration'> | null,
): RecordDraft {
  if (input.credentials !== undefined) throw new PamError('PAM_USAGE', 'a pamUser has no credentials: it is one');
  if (input.permissions !== undefined)
    throw new PamError('PAM_USAGE', 'a pamUser has no switches: they belong to the resource');
  const old = before?.facts as UserFacts | undefined;
  const facts = checkFacts('pamUser', {
    ...old,
    ...(input.title === undefined ? {} : { title: input.title }),
    ...withCustom('pamUser', input.fields, old?.custom),
    configuration: configuration?.uid ?? null,
  });
  const secrets =
    input.secrets === undefined
      ? undefined
      : userSecretsSchema.parse({
          ...before?.secrets,
          ...input.secrets,
          custom: { ...before?.secrets?.custom, ...input.secrets.custom },
        });
  return { type: 'pamUser', facts, secrets, configuration, credentials: [] };
}

/** Keys that the type does not know are refused, unless they come under `custom`; its entries are merged into the old. */
function withCustom(
  type: RecordType,
  fields: Readonly<Record<string, unknown>>,
  old: Readonly<Record<string, string>> | undefined,
): Record<string, unknown> {
  const custom = fields['custom'];
  const merged = typeof custom === 'object' && custom !== null ? { custom: { ...old, ...custom } } : {};
  for (const key of Object.keys(fields)) {
    if (!isField(type, key)) {
      throw new PamError('PAM_USAGE', `${type} has no field “${key}”`, {
        remedy: `Put it under "custom", or see pam record template ${type}.`,
      });
    }
  }
  return { ...fields, ...merged };
}

/** Whether the facts of `type` have a field of this name. */
export function isField(type: RecordType, name: string): boolean {
  return Object.hasOwn(factsSchemas[type].shape, name);
}

function readLink(
  link: string | { readonly record: string; readonly role: 'admin' | 'launch' },
  users: readonly OpenedItem<'pamUser'>[],
): { readonly user: OpenedItem<'pamUser'>; readonly role: 'admin' | 'launch' } {
  if (typeof link !== 'string') return { user: resolveName('pamUser', link.record, users), role: link.role };
  const match = /^(.*):(admin|launch)$/s.exec(link);
  const name = match?.[1] ?? link;
  return { user: resolveName('pamUser', name, users), role: match?.[2] === 'admin' ? 'admin' : 'launch' };
}

/** The facts of a user with this resource among those it may be used on. */
export function usableOnResource(user: UserFacts, uid: ItemUid, resource: ResourceFacts): UserFacts {
  const entry = { resource: uid, host: resource.host, port: resource.port, serverIdentity: resource.serverIdentity };
  return { ...user, usableOn: [...user.usableOn.filter((one) => one.resource !== uid), entry] };
}

/** The facts of a user without this resource. */
export function notUsableOn(user: UserFacts, uid: ItemUid): UserFacts {
  return { ...user, usableOn: user.usableOn.filter((one) => one.resource !== uid) };
}
