import { type InstanceId, PamError } from '@sallyport/protocol';
import { importBoxKey, importSigningKey, type JoinConfig } from '@sallyport/seal';
import {
  createIdentityKeeper,
  createInstanceAgent,
  createKeyRing,
  createStreamReporter,
  localAddresses,
  type Log,
  type NeverEndpoint,
  openTrustMemory,
  resolveName,
  type Runtime,
  systemDial,
  trustFile,
} from '../agent/index.ts';
import { createTunnelWorkload } from '../tunnel/index.ts';
import { type Health, type HealthServer, serveHealthPort, serveHealthSocket } from './health.ts';
import { readHostView } from './host-view.ts';

export interface InstanceOptions {
  readonly config: JoinConfig;
  readonly stateDir: string;
  readonly version: string;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly noStandby?: boolean;
  readonly maxStreams?: number;
  /** `none`: not even the unix socket. A number: also HTTP on 127.0.0.1. */
  readonly health?: 'socket' | 'none' | number;
}

export interface RunningInstance {
  readonly id: InstanceId;
  health(): Health;
  /** Takes nothing new, lets streams run for `graceMs`, says bye, frees everything. */
  stop(graceMs: number): Promise<void>;
  /** Resets all streams and cuts the link at once; a `stop` under way then ends. */
  hurry(): void;
  /** Settles when the instance cannot go on. Never rejects. */
  readonly gaveUp: Promise<PamError>;
}

/** Streams of one instance when nothing else is said; two descriptors each. */
export const defaultMaxStreams = 4_000;

/**
 * One instance in this process: identity, link, trust log, tunnels, health. Wires, decides nothing.
 *
 * @throws PAM_JOIN_CONFIG_INVALID, PAM_TRUST_* when the state folder remembers another log, PAM_PORT_IN_USE.
 */
export async function startInstance(options: InstanceOptions): Promise<RunningInstance> {
  const { config, runtime, log, version } = options;
  const [pool, box] = await Promise.all([importSigningKey(config.signKey), importBoxKey(config.boxKey)]);
  const trust = await openTrustMemory(
    { anchor: config.anchor, floor: config.floor, gateway: config.gateway, app: config.app, poolKeyId: pool.id },
    trustFile(options.stateDir, config.anchor),
  );
  const identity = await createIdentityKeeper(pool, config.gateway, runtime.nowMs);
  const reporter = createStreamReporter(identity.key, runtime, log);
  const ownListeners: readonly NeverEndpoint[] =
    typeof options.health === 'number' ? [{ address: '127.0.0.1', port: options.health, why: 'own-listener' }] : [];
  const workload = createTunnelWorkload({
    gateway: config.gateway,
    app: config.app,
    box,
    identity,
    reporter,
    runtime,
    log,
    dial: systemDial(runtime.schedule),
    never: () => [...ownListeners, ...agent.routerEndpoints()],
    localAddresses,
    maxStreams: options.maxStreams ?? defaultMaxStreams,
  });
  const { promise: gaveUp, resolve: giveUp } = Promise.withResolvers<PamError>();
  const agent = createInstanceAgent({
    config,
    identity,
    trust,
    host: readHostView(),
    version,
    noStandby: options.noStandby ?? false,
    running: workload.running,
    nowMs: runtime.nowMs,
    keys: createKeyRing(config.app, box),
    reporter,
    workload,
    runtime,
    log,
    resolve: resolveName,
    onGiveUp: giveUp,
  });

  const health = (): Health => {
    const { ready, membership, router, why } = agent.status();
    const waits = membership?.kind === 'standby' ? membership.reason : '';
    return {
      ready,
      membership: membership?.kind ?? 'none',
      instance: identity.id,
      gateway: config.gateway,
      router,
      streams: workload.running().length,
      version,
      why: ready ? waits : why,
    };
  };
  const servers: HealthServer[] = [];
  if (options.health !== 'none') servers.push(await serveHealthSocket(options.stateDir, health));
  if (typeof options.health === 'number') servers.push(await serveHealthPort(options.health, health));
  agent.start();
  return {
    id: identity.id,
    health,
    gaveUp,
    hurry: () => {
      workload.reset();
      agent.drop();
    },
    stop: async (graceMs) => {
      await workload.finish(graceMs);
      await agent.leave('stopped');
      await Promise.all(servers.map((server) => server.close()));
    },
  };
}
