import { randomBytes } from 'node:crypto';
import {
  type ApplicationUid,
  applicationUidSchema,
  type DeviceId,
  deviceIdSchema,
  type GatewayUid,
  gatewayUidSchema,
  type Head,
  type Item,
  type ItemType,
  type ItemUid,
  itemUidSchema,
  type KeyWrap,
  networkConfigurationFactsSchema,
  newUid,
  personUidSchema,
  type SessionId,
  sessionIdSchema,
  type StreamId,
  streamIdSchema,
} from '@sallyport/protocol';
import {
  type BoxKey,
  commitKeys,
  createLog,
  entryHash,
  exportPrivate,
  foldLog,
  type JoinConfig,
  type JsonValue,
  type LogState,
  newBoxKey,
  newSigningKey,
  newSymmetricKey,
  sealPart,
  type SessionRequest,
  type SigningKey,
  signEntry,
  signRequest,
  wrapKey,
} from '@sallyport/seal';

/** What a sealed part may hold: plain JSON. */
const toJson = (value: object): JsonValue => JSON.parse(JSON.stringify(value)) as JsonValue;

export const uid = (): string => newUid((length) => new Uint8Array(randomBytes(length)));
export const newStreamId = (): StreamId => streamIdSchema.parse(uid());
export const newSessionId = (): SessionId => sessionIdSchema.parse(uid());
export const newItemUid = (): ItemUid => itemUidSchema.parse(uid());
const nowSeconds = (): number => Math.floor(Date.now() / 1_000);

/** One person, one device, one application with one gateway: everything a router would store, made by hand. */
export interface Installation {
  readonly app: ApplicationUid;
  readonly gateway: GatewayUid;
  readonly device: SigningKey;
  readonly deviceId: DeviceId;
  readonly pool: SigningKey;
  readonly box: BoxKey;
  readonly factsKey: Uint8Array;
  readonly entries: string[];
  readonly wraps: KeyWrap[];
  log(): LogState;
  head(): Head;
  append(body: Parameters<typeof signEntry>[1], signer?: SigningKey): Promise<void>;
  config(routers: readonly string[], pins: readonly string[]): Promise<JoinConfig>;
  item(type: ItemType, facts: object, options?: { uid?: ItemUid; rev?: number; author?: SigningKey }): Promise<Item>;
  /** The claims of a good request; overrides flip a field. */
  claims(over: Partial<SessionRequest> & Pick<SessionRequest, 'resource' | 'revs' | 'cnf'>): SessionRequest;
  sign(claims: SessionRequest, key?: SigningKey): Promise<string>;
}

export async function createInstallation(routerPin: string): Promise<Installation> {
  const [person, personBox, recovery, device, pool, box] = await Promise.all([
    newSigningKey(),
    newBoxKey(),
    newBoxKey(),
    newSigningKey(),
    newSigningKey(),
    newBoxKey(),
  ]);
  const app = applicationUidSchema.parse(uid());
  const gateway = gatewayUidSchema.parse(uid());
  const personUid = personUidSchema.parse(uid());
  const deviceId = deviceIdSchema.parse(device.id);
  const keys = { facts: newSymmetricKey(), secrets: newSymmetricKey(), recordings: newSymmetricKey() };
  const genesis = await signEntry(
    createLog(''),
    {
      kind: 'genesis',
      installation: uid(),
      person: { uid: personUid, name: 'anna', signKey: person.publicJwk, boxKey: personBox.publicJwk },
      recoveryKey: recovery.publicJwk,
      routerPins: [routerPin],
    },
    person,
    nowSeconds(),
  );
  const anchor = await entryHash(genesis);
  const entries = [genesis];
  let log = await foldLog(createLog(anchor), entries);
  const append: Installation['append'] = async (body, signer = device) => {
    const entry = await signEntry(log, body, signer, nowSeconds());
    log = await foldLog(log, [entry]);
    entries.push(entry);
  };
  const deviceEntry = { id: deviceId, key: device.publicJwk, kind: 'cli', label: 'laptop' } as const;
  await append({ kind: 'device', person: personUid, device: deviceEntry }, person);
  await append({ kind: 'application', app });
  await append({ kind: 'generation', app, gen: 1, commitments: await commitKeys(app, 1, keys) });
  await append({ kind: 'gateway', gateway, app, signKey: pool.publicJwk, boxKey: box.publicJwk });
  const wrap = await wrapKey({ app, part: 'facts', gen: 1 }, keys.facts, box.publicJwk, device, nowSeconds());
  return {
    app,
    gateway,
    device,
    deviceId,
    pool,
    box,
    factsKey: keys.facts,
    entries,
    wraps: [{ app, part: 'facts', gen: 1, recipient: box.id, wrap }],
    log: () => log,
    head: () => log.head,
    append,
    config: async (routers, pins) => ({
      v: 1,
      gateway,
      app,
      routers: [...routers],
      pins: [...pins],
      anchor,
      floor: log.head,
      signKey: await exportPrivate(pool),
      boxKey: await exportPrivate(box),
    }),
    item: async (type, facts, options = {}) => {
      const itemUid = options.uid ?? newItemUid();
      const rev = options.rev ?? 1;
      const place = { app, uid: itemUid, type, part: 'facts', gen: 1, rev } as const;
      const envelope = await sealPart(place, toJson(facts), keys.facts, options.author ?? device, nowSeconds());
      const off = 'off' as const;
      return {
        uid: itemUid,
        app,
        type,
        mirror: {
          gateway: null,
          configuration: null,
          credentials: [],
          permissions: { connections: off, tunneling: off, rotation: off, recording: off },
        },
        createdAtMs: 0,
        modifiedAtMs: 0,
        parts: { facts: { rev, gen: 1, envelope } },
      };
    },
    claims: (over) => {
      const iat = nowSeconds();
      return {
        iss: deviceId,
        aud: `gateway:${gateway}`,
        jti: uid(),
        iat,
        exp: iat + 60,
        until: iat + 3_600,
        session: newSessionId(),
        stream: newStreamId(),
        workload: 'tunnel',
        head: log.head,
        ...over,
      };
    },
    sign: (claims, key = device) => signRequest(claims, key),
  };
}

/** Facts of a configuration that lets this gateway tunnel to the loopback. */
export function configurationFacts(gateway: GatewayUid, over: object = {}): object {
  return networkConfigurationFactsSchema.parse({
    title: 'lab',
    gateway,
    networks: ['127.0.0.0/8'],
    permissions: { tunneling: 'on' },
    ...over,
  });
}
