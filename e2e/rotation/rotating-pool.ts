import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Later } from '@sallyport/testkit';
import type { User } from '../../packages/cli/src/rotation/rotated-record.ts';
import { type Installation, newInstallation } from '../harness/installation.ts';
import type { Instance } from '../harness/instance.ts';
import { repository } from '../harness/programs.ts';
import type { AccountLab } from './accounts/account-lab.ts';
import { pointVariable } from './fault/fault-point.ts';
import { newOwner, type Owner } from './owner.ts';

/** A router and a pool of instances that rotate accounts of one real server, with short times. */
export interface RotatingPool {
  readonly installation: Installation;
  readonly owner: Owner;
  /** File in which a fault point is laid down for the instances. */
  readonly pointFile: string;
  instances(): readonly Instance[];
  /** Another one, in the place of one that ended; ready when it resolves. */
  replace(instance: Instance): Promise<void>;
  /** One more; ready when it resolves. */
  add(): Promise<void>;
  /** Makes accounts at the server with their records; by login. */
  newAccounts(logins: readonly string[]): Promise<ReadonlyMap<string, User>>;
}

/** Lease 6 s, fence 4.4 s, permit 0.4 s, effect 2 s: what a pool of three on one machine can keep. */
const shortTimes = [
  ...['--lease-ms', '6000', '--fence-ms', '4400', '--renewal-ms', '800'],
  ...['--quiesce-ms', '400', '--effect-ms', '2000'],
];

interface PoolOptions {
  readonly routerArgs?: readonly string[];
  /** Whether instances look for a fault point. */
  readonly faults?: boolean;
  readonly maxInstances?: number;
}

export async function startRotatingPool(
  later: Later,
  lab: AccountLab,
  count: number,
  { routerArgs = shortTimes, faults = true, maxInstances = count + 1 }: PoolOptions = {},
): Promise<RotatingPool> {
  const installation = await newInstallation(later, routerArgs);
  const { pam, folder, home } = installation;
  await pam(['app', 'new', 'prod']);
  const config = await installation.newGateway('dc1', 'prod', maxInstances);
  await pam([
    ...['config', 'new', '-n', 'dc1-net', '-a', 'prod', '-g', 'dc1'],
    ...['--network', '127.0.0.0/8', '--rotation', 'on'],
  ]);
  const bring = async (name: string, records: readonly object[]): Promise<void> => {
    const file = join(folder, `${name}.jsonl`);
    writeFileSync(file, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    await pam(['record', 'import', file, '-a', 'prod'], { withinMs: 600_000 });
  };
  const { admin, resource } = lab;
  await bring('server', [
    { type: 'pamUser', title: 'admin', ...admin.fields, secrets: admin.secrets },
    { title: 'server', configuration: 'dc1-net', credentials: ['admin:admin'], ...resource },
  ]);

  const pointFile = join(folder, 'fault-point');
  const preload = `--import ${repository}e2e/rotation/fault/preload.ts`;
  const env = faults ? { NODE_OPTIONS: preload, [pointVariable]: pointFile } : {};
  let started = 0;
  const start = (): Instance => {
    started += 1;
    return installation.startInstance(`rotator-${started}`, config, { env, fromSources: faults });
  };
  let instances: readonly Instance[] = Array.from({ length: count }, start);
  await Promise.all(instances.map((instance) => instance.id()));
  const owner = await newOwner(later, home);
  let batches = 0;
  return {
    installation,
    owner,
    pointFile,
    instances: () => instances,
    replace: async (instance) => {
      const next = start();
      instances = instances.map((one) => (one === instance ? next : one));
      await next.id();
    },
    add: async () => {
      const next = start();
      instances = [...instances, next];
      await next.id();
    },
    newAccounts: async (logins) => {
      batches += 1;
      const tag = `batch-${batches}`;
      const records: object[] = [];
      for (const login of logins) {
        const { fields, secrets } = await lab.makeAccount(login);
        records.push({ type: 'pamUser', title: login, tags: [tag], ...fields, secrets });
      }
      await bring(tag, records);
      const rotation = ['--resource', 'server', '--by', 'admin', ...(lab.rotation ?? [])];
      await pam(['rotation', 'edit', '-f', tag, ...rotation], { withinMs: 600_000 });
      return owner.usersWith(tag);
    },
  };
}
