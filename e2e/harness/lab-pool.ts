import { type LabHost, type Later, type NetworkLab, startNetworkLab } from '@sallyport/testkit';
import { type Installation, newInstallation, newMachine, withPool } from './installation.ts';
import type { Instance } from './instance.ts';
import { startTrafficTarget, startTrafficUser, type TrafficTarget, type TrafficUser, type UserEnd } from './traffic.ts';
import type { Tunnel } from './tunnel.ts';
import { until } from './until.ts';

/** An instance on a machine of its own; `replace` changes which. */
export interface LabInstance {
  readonly host: LabHost;
  instance: Instance;
  id: string;
}

/** Router, instances, target and user, each on a machine of its own in a network lab, with an open tunnel. */
export interface LabPool {
  readonly lab: NetworkLab;
  readonly router: LabHost;
  readonly installation: Installation;
  readonly instances: readonly LabInstance[];
  readonly target: TrafficTarget;
  readonly targetHost: LabHost;
  readonly user: TrafficUser;
  readonly tunnel: Tunnel;
  /** A short stream of 20 bytes each way: how it ended, and the instance that served it (undefined: none did). */
  request(): Promise<UserEnd & { readonly by: LabInstance | undefined; readonly firstMs: number | null }>;
  /** Ends the instance with SIGKILL, if it runs, and starts another in its place; ready when it resolves. */
  replace(one: LabInstance): Promise<void>;
  /** Connections the target has seen from this instance. */
  seenFrom(instance: LabInstance): number;
}

/** One instance a name, all of them members. @param more - further machines of the lab, on which nothing runs yet. */
export async function startLabPool(
  later: Later,
  names: readonly string[],
  more: readonly string[] = [],
): Promise<LabPool> {
  const lab = startNetworkLab(later, ['router', 'user', 'target', ...names, ...more]);
  const [router, targetHost, userHost] = [lab.host('router'), lab.host('target'), lab.host('user')];
  const target = await startTrafficTarget(later, targetHost);
  const installation = await newInstallation(later, [], { router, user: userHost });
  const config = await withPool(installation, names.length, '10.77.0.0/24');
  await newMachine(installation, 'web1', target);
  let count = 0;
  const start = (host: LabHost): Instance => {
    count += 1;
    return installation.startInstance(`${host.name}-${count}`, config, { within: host.within });
  };
  const started = names.map((name) => {
    const host = lab.host(name);
    return { host, instance: start(host) };
  });
  const instances: readonly LabInstance[] = await Promise.all(
    started.map(async (one) => ({ ...one, id: await one.instance.id() })),
  );
  const user = await startTrafficUser(later, userHost);
  const tunnel = await installation.openTunnel('web1');
  let requests = 0;
  return {
    lab,
    router,
    installation,
    instances,
    target,
    targetHost,
    user,
    tunnel,
    request: async () => {
      requests += 1;
      const id = `request-${requests}`;
      const stream = user.open({ id, up: 20, down: 20, bytesPerSecond: 0 }, tunnel.port);
      const end = await stream.ended();
      const seen = (): string | undefined => target.ended().find((one) => one.id === id)?.from;
      // Its own end comes to the target after ours, by another way.
      const from = end.how === 'fin' ? await until('the target saw the end', seen) : seen();
      return {
        ...end,
        firstMs: end.received > 0 ? await stream.first() : null,
        by: instances.find(({ host }) => host.address === from),
      };
    },
    replace: async (one) => {
      await one.instance.kill();
      one.instance = start(one.host);
      one.id = await one.instance.id();
    },
    seenFrom: ({ host }) => target.accepted().filter((from) => from === host.address).length,
  };
}
