import {
  defaultComplexity,
  type GatewayUid,
  isUsableOn,
  type ItemUid,
  type LinkParams,
  type NetworkConfigurationFacts,
  type ResourceFacts,
  type RotationSettings,
  serverName,
  type UserFacts,
  type UserSecrets,
} from '@sallyport/protocol';
import { type Credential, type KindAccount, type TargetKind } from '@sallyport/rotation';
import { checkHead } from '@sallyport/seal';
import type { WorkloadContext } from '../agent/index.ts';
import { accountNames } from './account-id.ts';
import { anyCredential } from './credential.ts';
import { type Endpoint, endpointOf } from './endpoint.ts';
import { allowJob, denied, type JobOrder, type OrderDeps, readOrder } from './job-order.ts';
import { createItemOpener, type ItemOpener } from './open-items.ts';

type Offer = LinkParams<'job.offer'>;

/** Where a job is done, and with what: opened, checked, and nothing dialled yet. */
export interface Place extends Endpoint {
  readonly kind: TargetKind;
  /** The administrative credential; null: the account changes itself. */
  readonly admin: { readonly account: KindAccount; readonly credential: Credential } | null;
}

/** A job that may be done here. */
export interface OpenedJob {
  readonly offer: Offer;
  readonly user: UserFacts;
  readonly secrets: UserSecrets | null;
  readonly settings: RotationSettings;
  readonly account: KindAccount;
  /** Null: scripts only. */
  readonly place: Place | null;
  readonly configuration: { readonly uid: ItemUid; readonly facts: NetworkConfigurationFacts };
  readonly complexity: NonNullable<RotationSettings['complexity']>;
  readonly allowed: JobOrder;
  readonly names: {
    readonly account: string;
    readonly server: string;
    readonly followUp: ReturnType<typeof accountNames>['followUp'];
  };
  /** Revision of the secrets that the order was signed over; null without an order. */
  readonly orderBase: number | null;
  readonly items: ItemOpener;
}

export interface OpenJobDeps extends OrderDeps {
  readonly kinds: readonly TargetKind[];
}

/**
 * Opens everything a job stands on and decides whether it may be done: order or standing order, the record's own
 * settings, permissions, the configuration's gateway, and where each credential says it may be used.
 *
 * @throws PAM_ORDER_INVALID with `detail.why` of the closed list; PamError of seals and the trust log.
 */
export async function openJob(offer: Offer, deps: OpenJobDeps, context: WorkloadContext): Promise<OpenedJob> {
  const log = await newestLog(offer, context);
  const read = await readOrder(offer, deps, log);
  const order = read?.order ?? null;
  const items = createItemOpener(offer.items, order?.revs ?? {}, {
    app: deps.app,
    log,
    factsKey: (gen) => context.factsKey(gen),
    secretsKey: (gen) => context.secretsKey(gen),
  });
  const user = await items.user(offer.record);
  const settings = user.rotation;
  if (settings?.enabled !== true) throw denied('record-invalid', 'the record’s rotation is not switched on');
  const resource = settings.resource === null ? null : await items.resource(settings.resource);
  const configurationUid = resource === null ? user.configuration : resource.configuration;
  if (configurationUid === null) throw denied('record-invalid', 'the record has no PAM configuration');
  const configuration = await configurationOf(items, configurationUid, deps.gateway, resource);
  const { standing } = settings;
  const secretsProof = () => items.secretsProof(offer.record);
  const allowed = await allowJob(offer, read, { standing, secretsProof }, deps, log);
  const secrets = await items.secrets(offer.record);
  const rev = items.item(offer.record).parts.secrets?.rev ?? 0;
  const account: KindAccount = {
    login: user.login,
    distinguishedName: user.distinguishedName ?? null,
    database: user.connectDatabase ?? null,
    custom: user.custom,
  };
  const place =
    resource === null || settings.resource === null
      ? null
      : await placeOf(items, { uid: settings.resource, facts: resource }, user, settings, account, configuration, deps);
  if (place === null && !settings.noop) throw denied('record-invalid', 'the record names no resource');
  const names = accountNames(await context.factsKey(1));
  // Not the server's key: the first run, which has not seen it, must name the account as all later ones do.
  const identity = place === null ? offer.record : serverName(place.target.host, place.target.port);
  const accountName = place === null ? account.login : place.kind.accountName(account);
  // A claim tells whether the record moved meanwhile; an order that was signed over something else is spent here.
  const needsBase = offer.kind === 'rotate' || offer.kind === 'retire' || offer.kind === 'after';
  if (order !== null && needsBase && order.base > rev) {
    throw denied('order-spent', 'the record is older than the order says');
  }
  return {
    ...{ offer, user, secrets, settings, account, place, items, allowed },
    orderBase: order?.base ?? null,
    configuration: { uid: configurationUid, facts: configuration },
    complexity: settings.complexity ?? defaultComplexity,
    names: { account: names.account(identity, accountName), server: names.server(identity), followUp: names.followUp },
  };
}

async function newestLog(offer: Offer, context: WorkloadContext) {
  const log = context.log();
  if (offer.head.n <= log.head.n) {
    checkHead(log, offer.head);
    return log;
  }
  return context.catchUp();
}

async function configurationOf(
  items: ItemOpener,
  uid: ItemUid,
  gateway: GatewayUid,
  resource: ResourceFacts | null,
): Promise<NetworkConfigurationFacts> {
  if (items.item(uid).type !== 'pamNetworkConfiguration') throw denied('record-invalid', 'no PAM configuration');
  const facts = (await items.facts(uid)) as NetworkConfigurationFacts;
  if (facts.gateway !== gateway) throw denied('record-invalid', 'the configuration belongs to another gateway');
  const isOn = facts.permissions.rotation === 'on' && resource?.permissions.rotation !== 'off';
  if (!isOn) throw denied('record-invalid', 'rotation is off in the PAM configuration or the resource');
  return facts;
}

async function placeOf(
  items: ItemOpener,
  resource: { readonly uid: ItemUid; readonly facts: ResourceFacts },
  user: UserFacts,
  settings: RotationSettings,
  account: KindAccount,
  configuration: NetworkConfigurationFacts,
  deps: OpenJobDeps,
): Promise<Place> {
  const { facts, uid } = resource;
  if (!isUsableOn(user, uid, facts)) {
    throw denied('record-invalid', 'the record does not name its resource, host, port and server identity');
  }
  const endpoint = await endpointOf(items, uid, facts, configuration, settings.replicas);
  const { target } = endpoint;
  const kind = deps.kinds.find((one) =>
    settings.kind === ''
      ? one.description.changes === settings.changes && one.serves(target, account)
      : one.description.name === settings.kind,
  );
  if (kind === undefined) throw denied('no-kind', 'no target kind serves this resource');
  const admin = settings.by === 'own' ? null : await adminOf(items, uid, facts, user);
  if (admin === null && (settings.by === 'admin' || kind.description.fence.own === null)) {
    throw denied('precondition', 'the resource has no administrative credential, and this kind needs one');
  }
  return { ...endpoint, kind, admin };
}

async function adminOf(
  items: ItemOpener,
  uid: ItemUid,
  resource: ResourceFacts,
  user: UserFacts,
): Promise<Place['admin']> {
  for (const link of resource.credentials) {
    if (link.role !== 'admin') continue;
    const facts = await items.user(link.record);
    if (facts.login === user.login && facts.distinguishedName === user.distinguishedName) continue;
    if (!isUsableOn(facts, uid, resource)) {
      throw denied('record-invalid', 'the administrative credential does not name this resource as it is now');
    }
    const credential = anyCredential(await items.secrets(link.record));
    if (credential === null) throw denied('record-invalid', 'the administrative credential has no secret');
    const { login, distinguishedName = null, connectDatabase = null, custom } = facts;
    return { account: { login, distinguishedName, database: connectDatabase, custom }, credential };
  }
  return null;
}
