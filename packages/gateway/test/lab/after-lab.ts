import type { ItemUid, Script, Service, UserFacts, UserSecrets } from '@sallyport/protocol';
import { signScript, signService } from '@sallyport/seal';
import { freshUid, honestInstallation, type LinuxHost } from '@sallyport/testkit';
import { systemPlainDial, systemRuntime } from '../../src/agent/index.ts';
import { createAfter } from '../../src/rotation/after/run-after.ts';
import type { AfterRun } from '../../src/rotation/execute/job-deps.ts';
import type { OpenedJob } from '../../src/rotation/open-job.ts';
import { createTargetIo } from '../../src/rotation/target-io.ts';

const now = 1_800_000_000;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** What an instance tells of one script or service. */
export interface ToldOfAfter {
  readonly name: string;
  readonly result: string;
  readonly exitCode?: number | null;
  readonly timedOut?: boolean;
  readonly output?: string;
  readonly message?: string;
  readonly written?: boolean;
  readonly restarted?: boolean;
}

interface Circumstances {
  readonly scripts?: readonly Script[];
  readonly services?: readonly Service[];
  /** Scripts of the resource. */
  readonly ofResource?: readonly Script[];
  readonly newPassword?: string;
  readonly login?: string;
  readonly epoch?: number;
  /** Where the machine's record says it is, and whose key it has. */
  readonly port?: number;
  readonly identity?: string;
  readonly resourceType?: 'pamMachine' | 'pamDatabase';
  /** `false`: the administrative credential names another machine. */
  readonly isUsable?: boolean;
  readonly configuration?: ItemUid;
}

/** A machine with an administrator, a user of it that was rotated, and scripts and services that are signed for it. */
export async function afterLab(host: LinuxHost, admin: { readonly login: string; readonly password: string }) {
  const { device, log, app } = await honestInstallation(now);
  const [record, machine, adminRecord, configuration] = Array.from({ length: 4 }, freshUid) as ItemUid[] as [
    ItemUid,
    ItemUid,
    ItemUid,
    ItemUid,
  ];
  const after = createAfter({ app, runtime: systemRuntime, log: silent, trust: () => log });
  const facts = { tags: [], custom: {}, managed: false, configuration: null };

  async function run(given: Circumstances): Promise<{
    readonly scripts: readonly ToldOfAfter[];
    readonly services: readonly ToldOfAfter[];
    readonly text: string;
  }> {
    const { port = host.port, identity = host.identity, scripts = [], services = [] } = given;
    const rotation = { scripts: [...scripts], services: [...services] };
    const settings = { ...rotation, resource: machine, changes: 'password' } as unknown as OpenedJob['settings'];
    const user = { ...facts, title: 'bob', login: given.login ?? 'bob', usableOn: [], rotation: settings } as UserFacts;
    const here = { resource: machine, host: host.host, port, serverIdentity: identity };
    const usableOn = [given.isUsable === false ? { ...here, port: 1 } : here];
    const adminUser: UserFacts = { ...facts, title: 'admin', login: admin.login, usableOn };
    const resource = {
      ...{ title: 'web', host: host.host, port, serverIdentity: identity, custom: {}, tags: [] },
      ...{ configuration: given.configuration ?? configuration, allowSupplyHost: false },
      permissions: { connections: 'default', tunneling: 'default', rotation: 'default', recording: 'default' },
      credentials: [{ record: adminRecord, role: 'admin' }],
      rotationScripts: [...(given.ofResource ?? [])],
    };
    const [oldSecrets, newSecrets] = ['old-pass-word', given.newPassword ?? 'new-pass-word'].map(
      (password): UserSecrets => ({ password, custom: {} }),
    );
    const job = {
      ...{ offer: { record, job: freshUid() }, settings, user },
      names: { followUp: (what: string, holder: string, text: string) => `${what} ${holder} ${text}` },
      configuration: { uid: configuration, facts: { networks: ['127.0.0.0/8'] } },
      items: {
        item: (uid: ItemUid) => ({ uid, type: uid === machine ? (given.resourceType ?? 'pamMachine') : 'pamUser' }),
        user: async (uid: ItemUid) => (uid === adminRecord ? adminUser : user),
        facts: async (uid: ItemUid) => (uid === adminRecord ? adminUser : user),
        resource: async () => resource,
        secrets: async () => ({ password: admin.password, custom: {} }),
        firstSeen: async () => null,
      },
    };
    const { told } = await after(job as unknown as OpenedJob, {
      ...{ oldSecrets: oldSecrets ?? null, newSecrets: newSecrets ?? null, epoch: given.epoch ?? 1 },
      signal: new AbortController().signal,
      mayAct: async () => true,
      followUps: { before: new Map(), begin: async () => true, end: async () => undefined },
      keepFirstSeen: async () => undefined,
      ioOf: (endpoint) =>
        createTargetIo(endpoint, {
          ...{ dial: systemPlainDial(systemRuntime.schedule), runtime: systemRuntime },
          policy: { networks: endpoint.networks, onlyInside: false, never: [], localAddresses: [] },
        }),
    } satisfies AfterRun);
    const shown = (told ?? { scripts: [], services: [] }) as unknown as {
      scripts: ToldOfAfter[];
      services: ToldOfAfter[];
    };
    return { ...shown, text: JSON.stringify(told) };
  }

  return {
    record,
    machine,
    adminRecord,
    run,
    script: async (name: string, body: string, more: Partial<Script> = {}): Promise<Script> => {
      const draft = {
        ...{ name, on: 'target' as const, machine, command: ['/bin/sh'], body, records: [] },
        ...{ timeoutSeconds: 30, enabled: true, ...more },
      };
      const holder = more.machine === undefined ? record : machine;
      return { ...draft, signed: await signScript(draft, { app, holder }, device, now) };
    },
    /** One of the resource: it names no machine. */
    scriptOfResource: async (name: string, body: string, records: readonly ItemUid[] = []): Promise<Script> => {
      const draft = {
        ...{ name, on: 'target' as const, command: ['/bin/sh'], body, records: [...records] },
        ...{ timeoutSeconds: 30, enabled: true },
      };
      return { ...draft, signed: await signScript(draft, { app, holder: machine }, device, now) };
    },
    service: async (name: string, more: Partial<Service>): Promise<Service> => {
      const draft = {
        ...{ name, machine, unit: '', manager: 'systemd' as const, file: '', template: '{{password}}' },
        ...{ escape: 'raw' as const, ...more },
      };
      return { ...draft, signed: await signService(draft, { app, holder: record }, device, now) };
    },
  };
}
