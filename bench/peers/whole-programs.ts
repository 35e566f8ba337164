import type { Later } from '@sallyport/testkit';
import { type Installation, newInstallation, newMachine, withPool } from '../../e2e/harness/installation.ts';
import type { Instance } from '../../e2e/harness/instance.ts';
import { until } from '../../e2e/harness/until.ts';
import type { Tunnel } from './tunnel.ts';

/** Maximum of the pool. */
export const poolSize = 3;

/** The programs as a user runs them: `pam-router`, a pool of `pam-gateway`, a foreground `pam tunnel start`. */
export interface WholePrograms {
  readonly tunnel: Tunnel;
  /** The running instances, oldest first. */
  readonly instances: readonly Instance[];
  readonly routerPid: number;
  readonly pamPid: number;
  /** Starts one more instance from the same configuration; it takes a slot or waits for one. */
  addInstance(): Instance;
  /** SIGKILL, at once. The instance is no longer one of `instances`. */
  killInstance(instance: Instance): void;
  /** Until every slot of the pool is held by a running instance and nobody is starting any more. */
  whenFull(): Promise<void>;
}

export interface WholeProgramsOptions {
  /** What every leg travels in, at both ends; what the programs do when they are not told, when absent. */
  readonly carrier?: 'tcp' | 'websocket';
  /** Maximum of the pool, and instances it starts with. */
  readonly instances?: number;
}

export async function startWholePrograms(
  later: Later,
  targetPort: number,
  { carrier, instances: size = poolSize }: WholeProgramsOptions = {},
): Promise<WholePrograms> {
  const args = carrier === undefined ? [] : ['--carrier', carrier];
  const installation: Installation = await newInstallation(later);
  const config = await withPool(installation, size);
  await newMachine(installation, 'bench', { host: '127.0.0.1', port: targetPort });
  const instances: Instance[] = [];
  let started = 0;
  const addInstance = (): Instance => {
    started += 1;
    const instance = installation.startInstance(`bench-${started}`, config, { args });
    instances.push(instance);
    return instance;
  };
  const says = (instance: Instance, text: string): boolean => instance.child.stdout().includes(text);
  const whenFull = async (): Promise<void> => {
    await Promise.all(instances.map((instance) => instance.said('ready')));
    await until(
      'a full pool',
      () => instances.filter((instance) => says(instance, '"membership":"slot"')).length >= size,
    );
  };
  for (let n = 0; n < size; n += 1) addInstance();
  await whenFull();
  const { child, port } = await installation.openTunnel('bench', { args });
  const routerPid = installation.router.child.pid;
  return {
    tunnel: {
      name: carrier === undefined ? 'Sallyport, whole programs (two hops)' : `Sallyport, --carrier ${carrier}`,
      port,
      get pids() {
        return [routerPid, child.pid, ...instances.map((instance) => instance.child.pid)];
      },
      noDelay: 'yes, every hop',
      close: async () => {
        await child.stop();
      },
    },
    instances,
    routerPid,
    pamPid: child.pid,
    addInstance,
    killInstance: (instance) => {
      instance.child.kill('SIGKILL');
      instances.splice(instances.indexOf(instance), 1);
    },
    whenFull,
  };
}
