import {
  type GatewayUid,
  type ItemUid,
  PamError,
  type ResourceFacts,
  resourceTypes,
  type RotationSettings,
  type Script,
  type Service,
} from '@sallyport/protocol';
import type { VaultSession } from '../vault/open-session.ts';
import type { FactsOf } from '../vault/facts.ts';
import type { OpenedItem, Vault } from '../vault/vault.ts';

export type User = OpenedItem<'pamUser'>;
export type Resource = OpenedItem<(typeof resourceTypes)[number]>;
/** Beside the record, its resource, configuration and administrator: an order has room for 64 revisions. */
const mostNamed = 60;
type Configuration = OpenedItem<'pamNetworkConfiguration'>;

/** A pamUser with everything its rotation stands on, opened and believed. */
export interface RotatedRecord {
  readonly user: User;
  readonly settings: RotationSettings;
  readonly resource: Resource | null;
  readonly configuration: Configuration;
  readonly gateway: GatewayUid;
  /** The resource's administrative credential; null: the account changes itself. */
  readonly admin: User | null;
  /** What scripts and services name beside these: machines, who logs in there, records they are given. */
  readonly named: readonly OpenedItem[];
}

/** Facts of a resource: what the four types have in common. */
export const factsOfResource = (resource: Resource): ResourceFacts => resource.facts;

function isResource(item: OpenedItem): item is Resource {
  return resourceTypes.some((type) => type === item.type);
}

/** Reads items one by one: the vault, or one look at it that many orders stand on. */
export type ItemReader = Pick<Vault, 'item'>;

/** @throws PAM_NOT_FOUND when the item is no resource. */
export async function resourceOf(vault: ItemReader, uid: ItemUid): Promise<Resource> {
  const item = await vault.item(uid);
  if (isResource(item)) return item;
  throw new PamError('PAM_NOT_FOUND', `“${item.title}” is a ${item.type}, not a resource an account lives on`);
}

/**
 * What an order will name.
 *
 * @throws PAM_PERMISSION_OFF with the command that changes it, when nothing is set up, switched off, or not linked.
 */
export async function rotatedRecord(vault: ItemReader, found: User): Promise<RotatedRecord> {
  // A list shows facts alone; the order names the revision of the secrets, too.
  const user = (await vault.item(found.uid)) as User;
  const settings = user.facts.rotation;
  if (settings === undefined || !settings.enabled) {
    const what = settings === undefined ? 'has no rotation' : 'has its rotation switched off';
    throw off(`“${user.title}” ${what}`, `pam rotation edit -r ${user.uid} --enabled on --resource RESOURCE`);
  }
  const resource = settings.resource === null ? null : await resourceOf(vault, settings.resource);
  const configurationUid = resource === null ? user.facts.configuration : factsOfResource(resource).configuration;
  if (configurationUid === null) {
    const holder = resource ?? user;
    throw off(`“${holder.title}” has no PAM configuration`, `pam record edit ${holder.uid} --config CONFIG`);
  }
  const configuration = await vault.item(configurationUid);
  if (configuration.type !== 'pamNetworkConfiguration') {
    throw new PamError('PAM_SEAL_MISPLACED', `${configuration.uid} is no PAM configuration`);
  }
  const facts = configuration.facts as FactsOf<'pamNetworkConfiguration'>;
  if (facts.permissions.rotation !== 'on') {
    throw off(`rotation is off in “${configuration.title}”`, `pam config edit ${configuration.uid} --rotation on`);
  }
  if (resource !== null && factsOfResource(resource).permissions.rotation === 'off') {
    throw off(`rotation is off in “${resource.title}”`, `pam record edit ${resource.uid} --rotation default`);
  }
  const admin = resource === null || settings.by === 'own' ? null : await adminOf(vault, resource, user);
  if (settings.by === 'admin' && admin === null && resource !== null) {
    throw off(
      `“${resource.title}” has no administrative credential`,
      `pam record edit ${resource.uid} --credential RECORD:admin`,
    );
  }
  const scripts = [
    ...settings.scripts,
    ...((resource === null ? undefined : factsOfResource(resource).rotationScripts) ?? []),
    ...(facts.rotationScripts ?? []),
  ];
  const known = [user, resource, configuration, admin].flatMap((item) => (item === null ? [] : [item.uid]));
  return {
    ...{ user, settings, resource, admin, gateway: facts.gateway },
    configuration: configuration as Configuration,
    named: await namedBy(vault, scripts, settings.services, known),
  };
}

/** An order names their revisions, so that no older ones of them are shown to the instance. */
async function namedBy(
  vault: ItemReader,
  scripts: readonly Script[],
  services: readonly Service[],
  known: readonly ItemUid[],
): Promise<readonly OpenedItem[]> {
  const places = [...scripts, ...services].flatMap(({ machine, as }) => [machine, as]);
  const uids = [...places, ...scripts.flatMap(({ records }) => records)].filter((uid) => uid !== undefined);
  const items = new Map<ItemUid, OpenedItem>();
  for (const uid of new Set(uids)) if (!known.includes(uid)) items.set(uid, await vault.item(uid));
  for (const { type, facts } of [...items.values()]) {
    if (type !== 'pamMachine') continue;
    for (const { record } of (facts as FactsOf<'pamMachine'>).credentials) {
      if (known.includes(record) || items.has(record)) continue;
      items.set(record, await vault.item(record));
    }
  }
  return [...items.values()].slice(0, mostNamed);
}

async function adminOf(vault: ItemReader, resource: Resource, user: User): Promise<User | null> {
  const link = factsOfResource(resource).credentials.find((one) => one.role === 'admin');
  if (link === undefined || link.record === user.uid) return null;
  const admin = await vault.item(link.record);
  if (admin.type === 'pamUser') return admin as User;
  throw new PamError('PAM_SEAL_MISPLACED', `${admin.uid} is no pamUser`);
}

function off(problem: string, command: string): PamError {
  return new PamError('PAM_PERMISSION_OFF', problem, { remedy: `Run ${command}.` });
}

/** Users that `-r` names, or all with the tag or title of `-f`, by title. @throws PAM_USAGE, PAM_NOT_FOUND. */
export async function chosenUsers(
  session: VaultSession,
  flags: { readonly record?: string | undefined; readonly filter?: string | undefined },
  find: (text: string) => Promise<User>,
): Promise<readonly User[]> {
  if ((flags.record === undefined) === (flags.filter === undefined)) {
    throw new PamError('PAM_USAGE', 'give either --record or --filter');
  }
  if (flags.record !== undefined) return [await find(flags.record)];
  const wanted = matcher(flags.filter ?? '');
  const users = (await session.vault.allItems(['pamUser'])).filter((user) => wanted(user));
  if (users.length > 0) return users;
  throw new PamError('PAM_NOT_FOUND', `no pamUser has the tag or title “${flags.filter ?? ''}”`, {
    remedy: 'See pam rotation list.',
  });
}

/** A tag as it is, or a regular expression over titles, without regard to case. */
function matcher(text: string): (user: User) => boolean {
  let pattern: RegExp | null = null;
  try {
    pattern = new RegExp(text, 'iu');
  } catch (reason) {
    if (!(reason instanceof SyntaxError)) throw reason;
  }
  return (user) => user.facts.tags.includes(text) || (pattern?.test(user.title) ?? false);
}
