import { randomBytes } from 'node:crypto';
import {
  type ApplicationUid,
  type DeviceId,
  type GatewayUid,
  type Item,
  type ItemType,
  type ItemUid,
  type Mirror,
  newUid,
  PamError,
  type PersonUid,
  type SessionId,
  type StreamId,
  type WireError,
  type WriteItem,
} from '@sallyport/protocol';
import {
  type BoxKey,
  commitKeys,
  createLog,
  digestOf,
  entryHash,
  eventHash,
  finishRegistration,
  finishSignIn,
  foldLog,
  type LogEntryBody,
  type LogState,
  newAccountSecret,
  newBoxKey,
  newRecoveryCode,
  newSigningKey,
  newSymmetricKey,
  newSessionIdentity,
  parseSetupCode,
  type JsonValue,
  recoveryLookup,
  sealPart,
  sealPersonBlob,
  sealRecoveryBlob,
  signEntry,
  signEvent,
  signRequest,
  type SigningKey,
  startRegistration,
  startSignIn,
  wrapKey,
  exportPrivate,
} from '@sallyport/seal';
import { type Answer, createApiClient, dpopHeaders } from './api-client.ts';

export function uid<T extends string>(): T {
  return newUid((length) => randomBytes(length)) as T;
}
export const nowSeconds = (): number => Math.floor(Date.now() / 1_000);

export const off = { connections: 'off', tunneling: 'off', rotation: 'off', recording: 'off' } as const;
export const inherit = {
  connections: 'default',
  tunneling: 'default',
  rotation: 'default',
  recording: 'default',
} as const;

export interface AppKeys {
  readonly app: ApplicationUid;
  readonly facts: Uint8Array;
  readonly secrets: Uint8Array;
  readonly recordings: Uint8Array;
}
export interface PoolKeys {
  readonly gateway: GatewayUid;
  readonly app: ApplicationUid;
  readonly signKey: SigningKey;
  readonly boxKey: BoxKey;
}

/** A person at work with seal's own functions against a real router: what `pam` does, without its checks. */
export interface Operator {
  readonly name: string;
  readonly password: string;
  readonly accountSecret: string;
  readonly recoveryCode: string;
  readonly person: PersonUid;
  readonly personKey: SigningKey;
  readonly personBox: BoxKey;
  readonly device: SigningKey;
  accessToken: string;
  log(): LogState;
  entries(): readonly string[];
  /** A call as the signed-in device; `audited` adds the signed event. */
  call(method: string, path: string, body?: unknown, audited?: boolean): Promise<Answer>;
  /** The same; a refusal is thrown as the PamError it is. */
  must<T>(method: string, path: string, body?: unknown, audited?: boolean): Promise<T>;
  ask: ReturnType<typeof createApiClient>['ask'];
  entry(body: LogEntryBody, signer?: SigningKey): Promise<string>;
  /** Takes over an entry that the router accepted. */
  took(entry: string): Promise<void>;
  forgetChain(seq: number, hash: string): void;
  newApplication(title: string): Promise<AppKeys>;
  newGateway(keys: AppKeys, title: string, maxInstances: number, token?: unknown): Promise<PoolKeys>;
  item(
    keys: AppKeys,
    type: ItemType,
    of: { uid?: ItemUid; rev?: number; mirror: Mirror; facts: JsonValue; secrets?: JsonValue },
  ): Promise<WriteItem>;
  putItem(item: WriteItem): Promise<Item>;
  newSession(gateway: GatewayUid, resource: ItemUid): Promise<SessionId>;
  request(of: {
    gateway: GatewayUid;
    session: SessionId;
    stream: StreamId;
    resource: ItemUid;
    revs: Record<string, number>;
  }): Promise<string>;
  close(): void;
}

export interface SetupParts {
  readonly body: Record<string, unknown>;
  readonly operator: Omit<Operator, 'accessToken'> & { accessToken: string };
}

/** Everything up to the second half of setup, so that tests can bend the body before it is sent. */
export async function prepareSetup(
  router: { port: number; pin: string; setupCode: string | null },
  name = 'anna',
): Promise<SetupParts> {
  const client = createApiClient(router.port);
  const { secret } = await parseSetupCode(router.setupCode ?? '');
  const password = `correct horse ${name}`;
  const { registrationRequest, clientState } = await startRegistration(password);
  const begun = await client.ask({
    method: 'POST',
    path: '/v1/setup/begin',
    body: { secret, name, registrationRequest },
  });
  if (begun.status !== 200) throw new Error(JSON.stringify(begun.body));
  const { registrationResponse } = begun.body as { registrationResponse: string };
  const { registrationRecord, exportKey } = await finishRegistration({ password, clientState, registrationResponse });

  const person = uid<PersonUid>();
  const personKey = await newSigningKey();
  const personBox = await newBoxKey();
  const recoveryKey = await newBoxKey();
  const device = await newSigningKey();
  const genesis = await signEntry(
    createLog(''),
    {
      kind: 'genesis',
      installation: uid(),
      person: { uid: person, name, signKey: personKey.publicJwk, boxKey: personBox.publicJwk },
      recoveryKey: recoveryKey.publicJwk,
      routerPins: [router.pin],
    },
    personKey,
    nowSeconds(),
  );
  const anchor = await entryHash(genesis);
  let log = await foldLog(createLog(anchor), [genesis]);
  const deviceEntry = await signEntry(
    log,
    {
      kind: 'device',
      person,
      device: { id: device.id as DeviceId, key: device.publicJwk, kind: 'cli', label: 'test' },
    },
    personKey,
    nowSeconds(),
  );
  log = await foldLog(log, [deviceEntry]);
  const entries = [genesis, deviceEntry];
  const accountSecret = await newAccountSecret();
  const recoveryCode = await newRecoveryCode();
  const blob = {
    v: 1 as const,
    personUid: person,
    name,
    signKey: await exportPrivate(personKey),
    boxKey: await exportPrivate(personBox),
    anchor,
    floor: log.head,
  };
  const body = {
    secret,
    name,
    registrationRecord,
    ksf: 1,
    personBlob: await sealPersonBlob(blob, exportKey, accountSecret),
    recovery: { lookup: await recoveryLookup(recoveryCode), blob: await sealRecoveryBlob(blob, recoveryCode) },
    entries,
    lifeMinutes: 720,
  };

  let seq = 0;
  let prev = '';
  async function call(method: string, path: string, given?: unknown, audited = false): Promise<Answer> {
    let sent = given;
    let hash = prev;
    if (audited) {
      const event = await signEvent(
        {
          actor: device.id,
          seq: seq + 1,
          prev,
          at: nowSeconds(),
          act: `${method} ${path.split('?')[0]}`,
          on: [],
          digest: await digestOf(given ?? {}),
        },
        device,
      );
      hash = await eventHash(event);
      sent = { ...(given as object), event };
    }
    const headers = await dpopHeaders({ method, path }, device, operator.accessToken);
    const answer = await client.ask({ method, path, headers, ...(sent === undefined ? {} : { body: sent }) });
    if (audited && answer.status === 200) {
      seq += 1;
      prev = hash;
    }
    return answer;
  }
  async function must<T>(method: string, path: string, given?: unknown, audited = false): Promise<T> {
    const answer = await call(method, path, given, audited);
    if (answer.status === 200) return answer.body as T;
    const { error } = answer.body as { error: WireError };
    throw new PamError(error.code, error.message, { detail: error.detail, remedy: error.remedy });
  }
  async function took(entry: string): Promise<void> {
    log = await foldLog(log, [entry]);
    entries.push(entry);
  }
  async function item(keys: AppKeys, type: ItemType, of: Parameters<Operator['item']>[2]): Promise<WriteItem> {
    const itemUid = of.uid ?? uid<ItemUid>();
    const rev = of.rev ?? 1;
    const place = { app: keys.app, uid: itemUid, type, gen: 1, rev };
    const parts: { facts?: WriteItem['parts']['facts']; secrets?: WriteItem['parts']['secrets'] } = {
      facts: {
        rev,
        gen: 1,
        envelope: await sealPart({ ...place, part: 'facts' }, of.facts, keys.facts, device, nowSeconds()),
      },
    };
    if (of.secrets !== undefined) {
      const envelope = await sealPart({ ...place, part: 'secrets' }, of.secrets, keys.secrets, device, nowSeconds());
      parts.secrets = { rev, gen: 1, envelope };
    }
    return { uid: itemUid, app: keys.app, type, mirror: of.mirror, parts };
  }
  const bare: Mirror = { gateway: null, configuration: null, credentials: [], permissions: off };

  const operator: Operator = {
    name,
    password,
    accountSecret,
    recoveryCode,
    person,
    personKey,
    personBox,
    device,
    accessToken: '',
    log: () => log,
    entries: () => entries,
    call,
    must,
    ask: client.ask,
    entry: (what, signer = device) => signEntry(log, what, signer, nowSeconds()),
    took,
    forgetChain: (toSeq, hash) => {
      seq = toSeq;
      prev = hash;
    },
    newApplication: async (title) => {
      const app = uid<ApplicationUid>();
      const keys = { app, facts: newSymmetricKey(), secrets: newSymmetricKey(), recordings: newSymmetricKey() };
      const first = await operator.entry({ kind: 'application', app });
      const between = await foldLog(log, [first]);
      const commitments = await commitKeys(app, 1, keys);
      const second = await signEntry(between, { kind: 'generation', app, gen: 1, commitments }, device, nowSeconds());
      const wraps = [];
      for (const part of ['facts', 'secrets', 'recordings'] as const) {
        const wrap = await wrapKey({ app, part, gen: 1 }, keys[part], personBox.publicJwk, device, nowSeconds());
        wraps.push({ app, part, gen: 1, recipient: personBox.id, wrap });
      }
      const written = await item(keys, 'application', {
        uid: app as string as ItemUid,
        mirror: bare,
        facts: { title },
      });
      await must('POST', '/v1/applications', { entries: [first, second], item: written, wraps }, true);
      await took(first);
      await took(second);
      return keys;
    },
    newGateway: async (keys, title, maxInstances, token) => {
      const gateway = uid<GatewayUid>();
      const signKey = await newSigningKey();
      const boxKey = await newBoxKey();
      const entry = await operator.entry({
        kind: 'gateway',
        gateway,
        app: keys.app,
        signKey: signKey.publicJwk,
        boxKey: boxKey.publicJwk,
      });
      const wraps = [];
      for (const part of ['facts', 'secrets', 'recordings'] as const) {
        const wrap = await wrapKey({ app: keys.app, part, gen: 1 }, keys[part], boxKey.publicJwk, device, nowSeconds());
        wraps.push({ app: keys.app, part, gen: 1, recipient: boxKey.id, wrap });
      }
      const written = await item(keys, 'gateway', {
        uid: gateway as string as ItemUid,
        mirror: bare,
        facts: { title },
      });
      const given = { entry, item: written, wraps, maxInstances, ...(token === undefined ? {} : { token }) };
      await must('POST', '/v1/gateways', given, true);
      await took(entry);
      return { gateway, app: keys.app, signKey, boxKey };
    },
    item,
    putItem: async (written) =>
      (await must<{ item: Item }>('PUT', `/v1/items/${written.uid}`, { item: written }, true)).item,
    newSession: async (gateway, resource) => {
      const session = uid<SessionId>();
      await must('POST', '/v1/sessions', { session, gateway, resource, workload: 'tunnel' }, true);
      return session;
    },
    request: async (of) => {
      const iat = nowSeconds();
      const { thumbprint } = await newSessionIdentity(Date.now());
      return signRequest(
        {
          iss: device.id as DeviceId,
          aud: `gateway:${of.gateway}`,
          jti: uid(),
          iat,
          exp: iat + 60,
          until: iat + 3_600,
          session: of.session,
          stream: of.stream,
          resource: of.resource,
          revs: of.revs,
          workload: 'tunnel',
          head: log.head,
          cnf: thumbprint,
        },
        device,
      );
    },
    close: () => client.close(),
  };
  return { body, operator };
}

/** Claims a fresh router. */
export async function claim(
  router: { port: number; pin: string; setupCode: string | null },
  name = 'anna',
): Promise<Operator> {
  const { body, operator } = await prepareSetup(router, name);
  const path = '/v1/setup/finish';
  const headers = await dpopHeaders({ method: 'POST', path }, operator.device);
  const answer = await operator.ask({ method: 'POST', path, body, headers });
  if (answer.status !== 200) throw new Error(`setup failed: ${JSON.stringify(answer.body)}`);
  operator.accessToken = (answer.body as { accessToken: string }).accessToken;
  return operator;
}

/** Application, gateway, configuration with tunneling on, and a machine: what a tunnel needs. */
export async function installation(
  operator: Operator,
  maxInstances = 3,
  target = { host: 'host.canary.test', port: 22 },
) {
  const keys = await operator.newApplication('app-title-canary');
  const pool = await operator.newGateway(keys, 'gateway-title-canary', maxInstances);
  const config = await operator.putItem(
    await operator.item(keys, 'pamNetworkConfiguration', {
      mirror: { gateway: pool.gateway, configuration: null, credentials: [], permissions: { ...off, tunneling: 'on' } },
      facts: {
        title: 'config-title-canary',
        gateway: pool.gateway,
        networks: ['127.0.0.0/8'],
        permissions: { tunneling: 'on' },
      },
    }),
  );
  const machine = await operator.putItem(
    await operator.item(keys, 'pamMachine', {
      mirror: { gateway: pool.gateway, configuration: config.uid, credentials: [], permissions: inherit },
      facts: { title: 'machine-title-canary', ...target, configuration: config.uid },
    }),
  );
  return { keys, pool, config, machine };
}

/** Another device of this person, signed in and in the log: how it calls. */
export async function secondDevice(port: number, operator: Operator): Promise<Operator['call']> {
  const device = await newSigningKey();
  const client = createApiClient(port);
  const { startLoginRequest, clientState } = await startSignIn(operator.password);
  const begun = await client.ask({
    method: 'POST',
    path: '/v1/sign-in/begin',
    body: { name: operator.name, startLoginRequest },
  });
  const { attempt, loginResponse } = begun.body as { attempt: string; loginResponse: string };
  const { finishLoginRequest } = await finishSignIn({ password: operator.password, clientState, loginResponse });
  let accessToken: string | undefined;
  const call: Operator['call'] = async (method, path, body) =>
    client.ask({ method, path, body, headers: await dpopHeaders({ method, path }, device, accessToken) });
  const signedIn = await call('POST', '/v1/sign-in/finish', { attempt, finishLoginRequest, lifeMinutes: 720 });
  accessToken = (signedIn.body as { accessToken: string }).accessToken;
  const entry = await operator.entry(
    {
      kind: 'device',
      person: operator.person,
      device: { id: device.id as DeviceId, key: device.publicJwk, kind: 'cli', label: 'second' },
    },
    operator.personKey,
  );
  await call('POST', '/v1/log', { entry });
  await operator.took(entry);
  return call;
}
