import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  descendantsOf,
  isRunning,
  type LabHost,
  type Later,
  loss,
  type NetworkLab,
  oneWay,
  silence,
  startNetworkLab,
  startPostgres,
} from '@sallyport/testkit';
import { type Installation, newInstallation, newMachine, withPool } from '../harness/installation.ts';
import type { Instance } from '../harness/instance.ts';
import { startTrafficTarget, startTrafficUser, type TrafficTarget, type TrafficUser } from '../harness/traffic.ts';
import type { Tunnel } from '../harness/tunnel.ts';
import type { ProcessRecord } from './check-run.ts';
import type { PlannedFault } from './schedule.ts';

interface Place {
  readonly host: LabHost;
  instance: Instance;
  /** How many have been started here. */
  count: number;
}

/** Longer than any fault with its redials, and short enough to wait for what nobody comes back to. */
const detachSeconds = 30;
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
  begin(fault: PlannedFault): Promise<void>;
  end(fault: PlannedFault): Promise<void>;
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

export async function startChaosPool(later: Later, size: number): Promise<ChaosPool> {
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
  const start = (host: LabHost, count: number): Instance =>
    installation.startInstance(`${host.name}-${count}`, config, {
      within: host.within,
      args: ['--detach-timeout', String(detachSeconds + 10)],
    });
  const places = names.map((name): Place => {
    const host = lab.host(name);
    return { host, instance: start(host, 1), count: 1 };
  });
  await Promise.all(places.map(({ instance }) => instance.id()));
  const user = await startTrafficUser(later, userHost);
  const [web, database] = [
    await installation.openTunnel('web1', { args: tunnelArgs }),
    await installation.openTunnel('db1', { args: tunnelArgs }),
  ];
  const placeOf = (fault: PlannedFault): Place | null => (fault.place === null ? null : (places[fault.place] ?? null));
  const ends = new Map<PlannedFault, () => Promise<void> | void>();
  const ended: Instance[] = [];
  const deps: FaultDeps = { installation, router, targetHost, start, ended };
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
      ends.set(fault, place === null ? beginAtRouter(fault, deps) : await beginAtInstance(fault, place, deps));
    },
    end: async (fault) => {
      await ends.get(fault)?.();
      ends.delete(fault);
    },
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

interface FaultDeps {
  readonly installation: Installation;
  readonly router: LabHost;
  readonly targetHost: LabHost;
  start(host: LabHost, count: number): Instance;
  /** Instances that were replaced. */
  readonly ended: Instance[];
}

type EndFault = () => Promise<void> | void;

function beginAtRouter({ kind }: PlannedFault, { installation }: FaultDeps): EndFault {
  const { child } = installation.router;
  if (kind === 'router-freeze') {
    child.kill('SIGSTOP');
    return () => child.kill('SIGCONT');
  }
  child.kill('SIGKILL');
  return async () => void (await installation.restartRouter('SIGKILL'));
}

async function beginAtInstance({ kind }: PlannedFault, place: Place, deps: FaultDeps): Promise<EndFault> {
  const { host, instance } = place;
  const { installation, router } = deps;
  const replace = async (): Promise<void> => {
    await instance.child.exited;
    deps.ended.push(instance);
    place.count += 1;
    place.instance = deps.start(host, place.count);
  };
  const heal = (): void => host.setFaults([]);
  switch (kind) {
    case 'kill':
    case 'drain':
      instance.child.kill(kind === 'kill' ? 'SIGKILL' : 'SIGTERM');
      return replace;
    case 'freeze':
      instance.child.kill('SIGSTOP');
      return () => instance.child.kill('SIGCONT');
    case 'cordon': {
      const id = await instance.id();
      const tell = (verb: string) =>
        // The router may be away: then it was not cordoned, or stays so until the end of the run.
        installation.pam(['gateway', verb, '-g', 'dc1', '-i', id], { code: null });
      await tell('cordon');
      return async () => void (await tell('uncordon'));
    }
    case 'silence':
      host.setFaults(silence(router.address));
      return heal;
    case 'silence-in':
    case 'silence-out':
      host.setFaults([oneWay(kind === 'silence-in' ? 'in' : 'out', router.address)]);
      return heal;
    case 'loss':
      host.setFaults(loss(30, router.address));
      return heal;
    case 'no-target':
      host.setFaults([{ kind: 'unreachable', direction: 'out', peer: deps.targetHost.address }]);
      return heal;
    default:
      throw new Error(`${kind} is no fault of an instance`);
  }
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
