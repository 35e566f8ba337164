import {
  type ApplicationUid,
  applicationUidSchema,
  deviceIdSchema,
  type GatewayUid,
  gatewayUidSchema,
  type Item,
  type ItemType,
  type ItemUid,
  itemUidSchema,
  type KeyPart,
  type KeyWrap,
  type Mirror,
  newUid,
  type PartEnvelope,
  type PersonUid,
  personUidSchema,
} from '@sallyport/protocol';
import {
  type BoxKey,
  commitKeys,
  createLog,
  entryHash,
  foldLog,
  type JoinConfig,
  exportPrivate,
  type JsonValue,
  type LogEntryBody,
  type LogState,
  newBoxKey,
  newRouterIdentity,
  newSigningKey,
  newSymmetricKey,
  type RouterIdentity,
  sealPart,
  signEntry,
  type SigningKey,
  thumbprint,
  wrapKey,
} from '@sallyport/seal';

/** A new random UID; the caller brands it. */
export function freshUid(): string {
  return newUid((length) => crypto.getRandomValues(new Uint8Array(length)));
}

export interface HonestPool {
  readonly uid: GatewayUid;
  readonly signKey: SigningKey;
  readonly boxKey: BoxKey;
}

/**
 * One small installation without a router around it: a person, a device, an application with its three keys, two pools
 * and three linked items, with everything a router would store of them.
 */
export interface HonestInstallation {
  readonly nowSeconds: number;
  readonly router: RouterIdentity;
  readonly person: { readonly uid: PersonUid; readonly signKey: SigningKey; readonly boxKey: BoxKey };
  readonly device: SigningKey;
  readonly recoveryKey: BoxKey;
  readonly app: ApplicationUid;
  readonly keys: Readonly<Record<KeyPart, Uint8Array>>;
  readonly pool: HonestPool;
  readonly otherPool: HonestPool;
  readonly anchor: string;
  /** What the router stores: the log, items with their current parts, wraps for the pool. */
  readonly entries: readonly string[];
  readonly log: LogState;
  readonly configuration: Item;
  readonly machine: Item;
  readonly otherMachine: Item;
  readonly user: Item;
  /** Revision 1 of the machine's facts; `machine` has revision 2. */
  readonly machineBefore: PartEnvelope;
  readonly wraps: readonly KeyWrap[];
  readonly machineFacts: JsonValue;
  readonly userSecrets: JsonValue;
}

/** Signs `body` after the last entry and folds it in. */
export async function appendEntry(
  entries: readonly string[],
  log: LogState,
  body: LogEntryBody,
  signer: SigningKey,
  nowSeconds: number,
): Promise<{ readonly entries: readonly string[]; readonly log: LogState }> {
  const entry = await signEntry(log, body, signer, nowSeconds);
  return { entries: [...entries, entry], log: await foldLog(log, [entry]) };
}

/** @param nowSeconds - Unix seconds at which everything is signed. */
export async function honestInstallation(nowSeconds: number): Promise<HonestInstallation> {
  const [signKey, device, boxKey, recoveryKey] = await Promise.all([
    newSigningKey(),
    newSigningKey(),
    newBoxKey(),
    newBoxKey(),
  ]);
  const router = await newRouterIdentity(['127.0.0.1'], nowSeconds * 1_000);
  const person = { uid: personUidSchema.parse(freshUid()), signKey, boxKey };
  const app = applicationUidSchema.parse(freshUid());
  const keys = { facts: newSymmetricKey(), secrets: newSymmetricKey(), recordings: newSymmetricKey() };
  const genesis = await signEntry(
    createLog(''),
    {
      kind: 'genesis',
      installation: freshUid(),
      person: { uid: person.uid, name: 'anna', signKey: signKey.publicJwk, boxKey: boxKey.publicJwk },
      recoveryKey: recoveryKey.publicJwk,
      routerPins: [router.pin],
    },
    signKey,
    nowSeconds,
  );
  const anchor = await entryHash(genesis);
  let entries: readonly string[] = [genesis];
  let log = await foldLog(createLog(anchor), entries);
  const append = async (body: LogEntryBody, signer: SigningKey) => {
    ({ entries, log } = await appendEntry(entries, log, body, signer, nowSeconds));
  };
  const deviceId = deviceIdSchema.parse(device.id);
  await append(
    {
      kind: 'device',
      person: person.uid,
      device: { id: deviceId, key: device.publicJwk, kind: 'cli', label: 'laptop' },
    },
    signKey,
  );
  await append({ kind: 'application', app }, device);
  await append({ kind: 'generation', app, gen: 1, commitments: await commitKeys(app, 1, keys) }, device);
  const newPool = async (): Promise<HonestPool> => {
    const pool = {
      uid: gatewayUidSchema.parse(freshUid()),
      signKey: await newSigningKey(),
      boxKey: await newBoxKey(),
    };
    const { publicJwk } = pool.signKey;
    await append(
      { kind: 'gateway', gateway: pool.uid, app, signKey: publicJwk, boxKey: pool.boxKey.publicJwk },
      device,
    );
    return pool;
  };
  const pool = await newPool();
  const otherPool = await newPool();

  const seal = async (
    uid: ItemUid,
    type: ItemType,
    part: 'facts' | 'secrets',
    rev: number,
    body: JsonValue,
  ): Promise<PartEnvelope> => {
    const place = { app, uid, type, part, gen: 1, rev };
    return { rev, gen: 1, envelope: await sealPart(place, body, keys[part], device, nowSeconds) };
  };
  const uids = Array.from({ length: 4 }, () => itemUidSchema.parse(freshUid()));
  const [configurationUid, machineUid, otherUid, userUid] = uids as [ItemUid, ItemUid, ItemUid, ItemUid];
  const item = (uid: ItemUid, type: ItemType, mirror: Partial<Mirror>, parts: Item['parts']): Item => ({
    uid,
    app,
    type,
    mirror: {
      gateway: null,
      configuration: null,
      credentials: [],
      permissions: { connections: 'default', tunneling: 'default', rotation: 'default', recording: 'default' },
      ...mirror,
    },
    createdAtMs: nowSeconds * 1_000,
    modifiedAtMs: nowSeconds * 1_000,
    parts,
  });
  const machineFacts = { title: 'web1', host: '10.0.0.5', port: 22, configuration: configurationUid };
  const userSecrets = { password: 'correct horse', custom: {} };
  const links = { configuration: configurationUid, credentials: [userUid] };
  const wraps = await Promise.all(
    (['facts', 'secrets', 'recordings'] as const).map(async (part) => ({
      app,
      part,
      gen: 1,
      recipient: await thumbprint(pool.boxKey.publicJwk),
      wrap: await wrapKey({ app, part, gen: 1 }, keys[part], pool.boxKey.publicJwk, device, nowSeconds),
    })),
  );
  return {
    nowSeconds,
    router,
    person,
    device,
    recoveryKey,
    app,
    keys,
    pool,
    otherPool,
    anchor,
    entries,
    log,
    configuration: item(
      configurationUid,
      'pamNetworkConfiguration',
      { gateway: pool.uid, permissions: { connections: 'off', tunneling: 'on', rotation: 'off', recording: 'off' } },
      {
        facts: await seal(configurationUid, 'pamNetworkConfiguration', 'facts', 1, {
          title: 'net',
          gateway: pool.uid,
          permissions: { connections: 'off', tunneling: 'on', rotation: 'off', recording: 'off' },
        }),
      },
    ),
    machine: item(machineUid, 'pamMachine', links, {
      facts: await seal(machineUid, 'pamMachine', 'facts', 2, machineFacts),
    }),
    machineBefore: await seal(machineUid, 'pamMachine', 'facts', 1, { ...machineFacts, host: '10.0.0.4' }),
    otherMachine: item(otherUid, 'pamMachine', links, {
      facts: await seal(otherUid, 'pamMachine', 'facts', 2, { ...machineFacts, title: 'web2', host: '10.0.0.6' }),
    }),
    user: item(
      userUid,
      'pamUser',
      {},
      {
        facts: await seal(userUid, 'pamUser', 'facts', 1, { title: 'root', login: 'root' }),
        secrets: await seal(userUid, 'pamUser', 'secrets', 1, userSecrets),
      },
    ),
    wraps,
    machineFacts,
    userSecrets,
  };
}

/** The join configuration of a pool of this installation. */
export async function joinConfigOf(
  installation: HonestInstallation,
  routers: readonly string[],
  pool = installation.pool,
): Promise<JoinConfig> {
  return {
    v: 1,
    gateway: pool.uid,
    app: installation.app,
    routers: [...routers],
    pins: [installation.router.pin],
    anchor: installation.anchor,
    floor: installation.log.head,
    signKey: await exportPrivate(pool.signKey),
    boxKey: await exportPrivate(pool.boxKey),
  };
}
