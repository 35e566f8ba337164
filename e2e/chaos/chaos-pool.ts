import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  descendantsOf,
  isRunning,
  type LabHost,
  type Later,
  type NetworkLab,
  startNetworkLab,
  startPostgres,
} from '@sallyport/testkit';
import { clonedKeyOptions } from '../harness/cloned-key.ts';
import { type Installation, newInstallation, newMachine, withPool } from '../harness/installation.ts';
import type { Instance } from '../harness/instance.ts';
import { startTrafficTarget, startTrafficUser, type TrafficTarget, type TrafficUser } from '../harness/traffic.ts';
import type { Tunnel } from '../harness/tunnel.ts';
import {
  beginAtInstance,
  beginAtRouter,
  beginSurplus,
  type EndFault,
  type FaultDeps,
  keyFileOf,
  type Place,
  replaceLeavers,
} from './begin-fault.ts';
import type { ProcessRecord } from './check-run.ts';
import { isRouterFault, mostAtOnce, type PlannedFault } from './schedule.ts';

/** Longer than any fault with its redials, also where a router takes half a minute to start; an instance's most is 90. */
const detachSeconds = 75;
const tunnelArgs = ['--detach-timeout', String(detachSeconds)];

/** Router, a full pool and one standby, target and database, user: each on a machine of its own in a lab. */
export interface ChaosPool {
  readonly installation: Installation;
  readonly userHost: LabHost;
  readonly target: TrafficTarget;
  readonly user: TrafficUser;
  readonly web: Tunnel;
  readonly database: Tunnel;
  /** Address of the machine of an instance; null for the router. */
  addressOf(fault: PlannedFault): string | null;
  /** False when it was left out: as many places as may be have a fault still, or this one has, or the router (T2, T3). */
  begin(fault: PlannedFault): Promise<boolean>;
  end(fault: PlannedFault): Promise<void>;
  /** When all is healed: whoever drains although nobody was told so is waited for, and replaced. */
  settle(): Promise<void>;
  readonly seen: FaultDeps['seen'];
  /** Instances that ought to run now. */
  instances(): readonly Instance[];
  /** Notes how many descriptors everybody holds at first. */
  noteDescriptors(): void;
  processes(): readonly ProcessRecord[];
  /** Everything that every program said, by its name. */
  logs(): ReadonlyMap<string, string>;
  /** Processes in the lab that are no descendants of this one. */
  strangers(): readonly string[];
}

/** @param nowMs - since the start of the run. */
export async function startChaosPool(later: Later, size: number, nowMs: () => number): Promise<ChaosPool> {
  const names = Array.from({ length: size + 1 }, (_, n) => `instance${n + 1}`);
  const lab = startNetworkLab(later, ['router', 'user', 'target', ...names]);
  const [router, userHost, targetHost] = [lab.host('router'), lab.host('user'), lab.host('target')];
  const target = await startTrafficTarget(later, targetHost);
  const postgres = await startPostgres(targetHost);
  later(() => postgres.stop());
  const installation = await newInstallation(later, [], { router, user: userHost });
  const config = await withPool(installation, size, '10.77.0.0/24');
  await newMachine(installation, 'web1', target);
  await installation.pam([
    ...['record', 'new', 'pamDatabase', '-n', 'db1', '-a', 'prod', '-c', 'dc1-net'],
    ...['--host', targetHost.address, '--port', String(postgres.port), '--field', 'databaseType=postgresql'],
  ]);
  const start = (host: LabHost, count: number, keyFile: string): Instance =>
    installation.startInstance(`${host.name}-${count}`, config, {
      within: host.within,
      args: ['--detach-timeout', String(detachSeconds + 10)],
      env: { NODE_OPTIONS: clonedKeyOptions(keyFile) },
    });
  const places = names.map((name): Place => {
    const host = lab.host(name);
    const instance = start(host, 1, keyFileOf({ host, count: 1 }, installation));
    return { host, instance, count: 1, isBusy: false };
  });
  await Promise.all(places.map(({ instance }) => instance.id()));
  const user = await startTrafficUser(later, userHost);
  const [web, database] = [
    await installation.openTunnel('web1', { args: tunnelArgs }),
    await installation.openTunnel('db1', { args: tunnelArgs }),
  ];
  const placeOf = (fault: PlannedFault): Place | null => (fault.place === null ? null : (places[fault.place] ?? null));
  const ends = new Map<PlannedFault, EndFault>();
  const ended: Instance[] = [];
  const seen: FaultDeps['seen'] = { holds: [], leavings: [], clones: [] };
  const deps: FaultDeps = { installation, router, targetHost, places, size, nowMs, start, ended, seen };
  /** Faults that are in force, however long they take on a busy machine. */
  const inForce = new Set<PlannedFault>();
  const beginOne = async (fault: PlannedFault, place: Place | null): Promise<EndFault> => {
    if (place === null) return fault.kind === 'surplus' ? beginSurplus(deps) : beginAtRouter(fault, deps);
    place.isBusy = true;
    const end = await beginAtInstance(fault, place, deps);
    return async () => {
      await end();
      place.isBusy = false;
    };
  };
  const named = (): readonly (readonly [string, number])[] => [
    ['router', installation.router.child.pid],
    ['relay', descendantsOf(installation.router.child.pid)[0] ?? -1],
    ['pam tunnel web1', web.child.pid],
    ['pam tunnel db1', database.child.pid],
    ...places.map(({ host, instance }) => [host.name, instance.child.pid] as const),
  ];
  let atFirst: ReadonlyMap<string, number> = new Map();
  return {
    installation,
    userHost,
    target,
    user,
    web,
    database,
    addressOf: (fault) => placeOf(fault)?.host.address ?? null,
    begin: async (fault) => {
      const place = placeOf(fault);
      const isOfRouter = isRouterFault(fault.kind);
      const alike = [...inForce].filter(({ kind }) => isRouterFault(kind) === isOfRouter).length;
      if (alike >= (isOfRouter ? 1 : mostAtOnce(places.length)) || place?.isBusy === true) return false;
      inForce.add(fault);
      ends.set(fault, await beginOne(fault, place));
      return true;
    },
    end: async (fault) => {
      await ends.get(fault)?.();
      ends.delete(fault);
      inForce.delete(fault);
    },
    settle: () => replaceLeavers(deps),
    seen,
    instances: () => places.map(({ instance }) => instance),
    noteDescriptors: () => {
      atFirst = new Map(named().map(([name, pid]) => [name, descriptorsOf(pid)]));
    },
    processes: () =>
      named().map(([name, pid]) => ({
        name,
        isRunning: isRunning(pid),
        descriptors: descriptorsOf(pid),
        descriptorsAtFirst: atFirst.get(name) ?? 0,
      })),
    logs: () =>
      new Map([
        ['pam-tunnel-web1', web.child.stderr()],
        ['pam-tunnel-db1', database.child.stderr()],
        ['router', installation.router.child.stderr()],
        ...[...ended, ...places.map(({ instance }) => instance)].map(
          ({ stateDir, child }) => [basename(stateDir), child.stdout() + child.stderr()] as const,
        ),
      ]),
    strangers: () => strangersIn(lab, ['router', 'user', 'target', ...names]),
  };
}

function descriptorsOf(pid: number): number {
  return isRunning(pid) ? readdirSync(join('/proc', String(pid), 'fd')).length : 0;
}

function strangersIn(lab: NetworkLab, hosts: readonly string[]): readonly string[] {
  const ours = new Set(descendantsOf(process.pid));
  return hosts.flatMap((name) =>
    lab
      .host(name)
      .pids()
      .filter((pid) => !ours.has(pid) && isRunning(pid))
      .map((pid) => `process ${pid} on ${name}`),
  );
}
