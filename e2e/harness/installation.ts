import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ChildOptions, type LabHost, type Later, tempDir, type Within } from '@sallyport/testkit';
import { type Instance, type InstanceOptions, startInstance } from './instance.ts';
import { type Run, runProgram } from './programs.ts';
import { type RouterProcess, startRouter } from './router.ts';
import { openTunnel, type Tunnel, type TunnelOptions } from './tunnel.ts';

/** Password of the one person; long enough, and found nowhere by the tests that look for it. */
export const ownersPassword = 'correct horse battery staple 7';

interface PamOptions {
  readonly input?: string;
  readonly env?: ChildOptions['env'];
  /** Exit code the test expects; 0 unless given, null for any. */
  readonly code?: number | null;
  readonly withinMs?: number;
}

/** A router with an owner, and what the owner does with `pam`. */
export interface Installation {
  readonly folder: string;
  readonly dataDir: string;
  readonly home: string;
  readonly kitFile: string;
  readonly router: RouterProcess;
  /** Runs `pam` as the owner; throws with all output when it ends with another code than expected. */
  pam(args: readonly string[], options?: PamOptions): Promise<Run>;
  /** Runs `pam … --format json` and reads what it printed. */
  json(args: readonly string[], options?: PamOptions): Promise<unknown>;
  /** Starts the router anew on the same port. */
  restartRouter(signal?: NodeJS.Signals): Promise<RouterProcess>;
  /** Makes a gateway and gives the value of its GATEWAY_CONFIG. */
  newGateway(name: string, app: string, maxInstances: number): Promise<string>;
  startInstance(name: string, config: string, options?: Partial<InstanceOptions>): Instance;
  openTunnel(record: string, options?: TunnelOptions): Promise<Tunnel>;
}

/** Machines of a network lab on which the router and the owner's `pam` run; this one when absent. */
export interface Places {
  readonly router?: LabHost;
  /** What the router runs under on its machine. */
  readonly routerWithin?: Within;
  readonly routerEnv?: ChildOptions['env'];
  readonly user?: LabHost;
}

/** Starts a router on an empty data folder and claims it as `anna`. */
export async function newInstallation(
  later: Later,
  routerArgs: readonly string[] = [],
  places: Places = {},
): Promise<Installation> {
  const folder = tempDir(later, 0o711);
  const [dataDir, home, kitFile] = [join(folder, 'router'), join(folder, 'home'), join(folder, 'kit.json')];
  mkdirSync(home, { mode: 0o700 });
  const where = { host: places.router, within: places.routerWithin, env: places.routerEnv };
  let router = await startRouter(later, { dataDir, args: routerArgs, ...where });
  const environment = { SALLYPORT_HOME: home };

  async function pam(args: readonly string[], { input, env, code = 0, withinMs }: PamOptions = {}): Promise<Run> {
    const run = await runProgram('pam', args, {
      env: { ...environment, ...env },
      within: places.user?.within,
      ...(input === undefined ? {} : { input }),
      ...(withinMs === undefined ? {} : { withinMs }),
    });
    if (code !== null && run.code !== code) {
      throw new Error(`pam ${args.join(' ')}: exit ${run.code}, not ${code}\n${run.stdout}\n${run.stderr}`);
    }
    return run;
  }

  const installation: Installation = {
    folder,
    dataDir,
    home,
    kitFile,
    get router() {
      return router;
    },
    pam,
    json: async (args, options) => JSON.parse((await pam([...args, '--format', 'json'], options)).stdout) as unknown,
    restartRouter: async (signal = 'SIGTERM') => {
      await router.kill(signal);
      router = await startRouter(later, { dataDir, port: router.port, args: routerArgs, ...where });
      return router;
    },
    newGateway: async (name, app, maxInstances) => {
      const file = join(folder, `${name}.conf`);
      await pam(['gateway', 'new', '-n', name, '-a', app, '-m', String(maxInstances), '-c', 'b64', '-o', file]);
      return readFileSync(file, 'utf8').trim();
    },
    startInstance: (name, config, options = {}) =>
      startInstance(later, {
        config,
        stateDir: join(folder, `state-${name}`),
        ...options,
        env: { ...environment, ...options.env },
      }),
    openTunnel: (record, options = {}) =>
      openTunnel(later, record, { within: places.user?.within, ...options, env: { ...environment, ...options.env } }),
  };
  const [address = '', code = ''] = router.setupArgs ?? [];
  await pam(['setup', address, code, '--name', 'anna', '--password-stdin', '--save-kit', kitFile], {
    input: `${ownersPassword}\n`,
  });
  return installation;
}

/** What most tests stand on: application, gateway, configuration that may dial loopback, and its join configuration. */
export async function withPool(installation: Installation, maxInstances = 3, network = '127.0.0.0/8'): Promise<string> {
  await installation.pam(['app', 'new', 'prod']);
  const config = await installation.newGateway('dc1', 'prod', maxInstances);
  await installation.pam([
    ...['config', 'new', '-n', 'dc1-net', '-a', 'prod', '-g', 'dc1'],
    ...['--network', network, '--tunneling', 'on'],
  ]);
  return config;
}

/** A record of a machine at HOST:PORT behind the pool of {@link withPool}. */
export async function newMachine(
  installation: Installation,
  title: string,
  target: { readonly host: string; readonly port: number },
  more: readonly string[] = [],
): Promise<void> {
  await installation.pam([
    ...['record', 'new', 'pamMachine', '-n', title, '-a', 'prod', '-c', 'dc1-net'],
    ...['--host', target.host, '--port', String(target.port), ...more],
  ]);
}
