import { type InstanceId, PamError } from '@sallyport/protocol';
import { importBoxKey, importSigningKey, type JoinConfig } from '@sallyport/seal';
import { resumeTimes } from '@sallyport/stream';
import {
  createDrainRunner,
  createEventChain,
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
  systemPlainDial,
  trustFile,
} from '../agent/index.ts';
import { type CarrierChoice, createLegCarrier, directReach, type Reach } from '@sallyport/stream';
import { inTreeKinds, loadKinds } from '../kind/index.ts';
import { createAfter, createJobWorkload, openCandidateJournal, systemClocks } from '../rotation/index.ts';
import { createTunnelWorkload } from '../tunnel/index.ts';
import { createInstanceFigures, createWatchPages, watchReporter, watchWorkload } from '../watch/index.ts';
import { type Health, type HealthServer, serveHealthPort, serveHealthSocket } from './health.ts';
import { readHostView } from './host-view.ts';
import type { ListenPlace } from './listen-place.ts';

export interface InstanceOptions {
  readonly config: JoinConfig;
  readonly stateDir: string;
  readonly version: string;
  readonly runtime: Runtime;
  readonly log: Log;
  /** How routers are reached; directly when absent. */
  readonly reach?: Reach;
  /** What legs travel in; TCP when absent. */
  readonly carrier?: CarrierChoice;
  readonly noStandby?: boolean;
  readonly maxStreams?: number;
  /** Packages whose target kinds are asked before those in the tree. */
  readonly plugins?: readonly string[];
  /** Jobs at once; 16 by default. */
  readonly maxJobs?: number;
  /** How long a stream waits for another carrier, ms; 75 s by default. */
  readonly detachedMs?: number;
  /** `none`: not even the unix socket. A number: also HTTP on 127.0.0.1. */
  readonly health?: 'socket' | 'none' | number;
  /** Health and figures over HTTP there, too. */
  readonly metricsListen?: ListenPlace;
}

export interface RunningInstance {
  readonly id: InstanceId;
  health(): Health;
  /** Where it answers over HTTP. */
  readonly listens: readonly ListenPlace[];
  /** Takes nothing new, tells users, lets streams run for `deadlineInMs`; `left` follows. */
  drain(deadlineInMs: number): void;
  /** Resets all streams and leaves at once; said again, without a word to the router. */
  hurry(): void;
  /** It drained (its own word or an operator's) or was hurried: bye was said, everything is free. Never rejects. */
  readonly left: Promise<'drained' | 'stopped'>;
  /** Settles when the instance cannot go on. Never rejects. */
  readonly gaveUp: Promise<PamError>;
  /** Settles when the router lost what this instance told it: nothing it says is taken any more. Never rejects. */
  readonly outlived: Promise<PamError>;
}

/** Jobs that run when everything else has ended may take so long; a job that waits is given back. */
const jobsDrainMs = 30_000;
/** Jobs of one instance when nothing else is said. */
/** As many as the router lets one instance have at one server: what is more would be opened, and given back. */
const defaultMaxJobs = 8;
/** Streams of one instance when nothing else is said; two descriptors each. */
export const defaultMaxStreams = 4_000;

/**
 * One instance in this process: identity, link, trust log, tunnels, health. Wires, decides nothing.
 *
 * @throws PAM_JOIN_CONFIG_INVALID, PAM_TRUST_* when the state folder remembers another log, PAM_PORT_IN_USE.
 */
export async function startInstance(options: InstanceOptions): Promise<RunningInstance> {
  const { config, runtime, log, version, reach = directReach } = options;
  const [pool, box] = await Promise.all([importSigningKey(config.signKey), importBoxKey(config.boxKey)]);
  const trust = await openTrustMemory(
    { anchor: config.anchor, floor: config.floor, gateway: config.gateway, app: config.app, poolKeyId: pool.id },
    trustFile(options.stateDir, config.anchor),
  );
  const identity = await createIdentityKeeper(pool, config.gateway, runtime.nowMs);
  const figures = createInstanceFigures(version);
  const maxStreams = options.maxStreams ?? defaultMaxStreams;
  const { promise: outlived, resolve: outlive } = Promise.withResolvers<PamError>();
  const events = createEventChain(identity.key, runtime.nowMs, (error) => {
    // Jobs end with a signed word: others have to say it.
    void jobs.stop();
    outlive(error);
  });
  const reporter = watchReporter(createStreamReporter(events, runtime, log), figures);
  const keys = createKeyRing(config.app, box);
  const ownListeners: NeverEndpoint[] = [];
  const carrier = createLegCarrier({
    choice: options.carrier ?? 'tcp',
    reach,
    pins: () => agent.pins(),
    onFallBack: (router) => log.warn('plain legs do not pass here, going on by WebSocket', { router }),
  });
  const workload = createTunnelWorkload({
    gateway: config.gateway,
    app: config.app,
    box,
    identity,
    reporter,
    runtime,
    log,
    carrier,
    dial: systemDial(runtime.schedule),
    never: () => [...ownListeners, ...agent.routerEndpoints()],
    localAddresses,
    maxStreams,
    detachedMs: options.detachedMs ?? resumeTimes.instanceDetachedMs,
    dialled: figures.dialled,
  });
  const jobs = createJobWorkload({
    ...{
      gateway: config.gateway,
      app: config.app,
      poolKey: pool,
      kinds: await loadKinds(options.plugins ?? [], inTreeKinds),
    },
    ...{ events, runtime, log, localAddresses, clocks: systemClocks },
    dial: systemPlainDial(runtime.schedule),
    never: () => [...ownListeners, ...agent.routerEndpoints()],
    trust: () => trust.log(),
    keys: {
      factsKey: (gen) => keys.key('facts', gen, trust.log()),
      secretsKey: (gen) => keys.key('secrets', gen, trust.log()),
    },
    journal: await openCandidateJournal(
      { stateDir: options.stateDir, anchor: config.anchor },
      { nowMs: runtime.nowMs, log },
    ),
    after: createAfter({ app: config.app, runtime, log, trust: () => trust.log() }),
    maxJobs: options.maxJobs ?? defaultMaxJobs,
    step: figures.jobStep,
  });
  const host = readHostView();
  const drain = createDrainRunner({
    runtime,
    log,
    name: `${host.deviceName} (${identity.id})`,
    workload,
    report: (deadlineInMs) => agent.reportDrain(deadlineInMs),
  });
  let isCordoned = false;
  const { promise: gaveUp, resolve: giveUp } = Promise.withResolvers<PamError>();
  const agent = createInstanceAgent({
    config,
    identity,
    trust,
    host,
    version,
    reach,
    carrier,
    noStandby: options.noStandby ?? false,
    running: workload.running,
    maxStreams,
    nowMs: runtime.nowMs,
    keys,
    reporter,
    workload: watchWorkload(workload, figures),
    jobs,
    runtime,
    log,
    resolve: resolveName,
    onIntent: (intent) => {
      isCordoned = intent.kind === 'cordon';
      jobs.hold(intent.kind !== 'serve');
      drain.told(intent);
    },
    onLinked: drain.linked,
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
  const pages = createWatchPages({
    version,
    maxStreams,
    figures,
    status: agent.status,
    streams: () => workload.running().length,
    intent: () => (drain.isLeaving() ? 'stopping' : isCordoned ? 'cordoned' : 'serve'),
  });
  const servers: HealthServer[] = [];
  const listens: ListenPlace[] = [];
  const serve = async (place: ListenPlace): Promise<void> => {
    const server = await serveHealthPort(place, pages.page, health);
    servers.push(server);
    listens.push({ host: server.host, port: server.port });
    ownListeners.push({ address: server.host, port: server.port, why: 'own-listener' });
  };
  if (options.health !== 'none') servers.push(await serveHealthSocket(options.stateDir, health));
  if (typeof options.health === 'number') await serve({ host: '127.0.0.1', port: options.health });
  if (options.metricsListen !== undefined) await serve(options.metricsListen);
  agent.start();
  let isLeaving = false;
  const left = drain.over.then(async (reason) => {
    isLeaving = true;
    if (reason === 'drained') await jobs.drained(jobsDrainMs);
    await jobs.stop();
    await agent.leave(reason);
    pages.close();
    await Promise.all(servers.map((server) => server.close()));
    return reason;
  });
  return {
    id: identity.id,
    health,
    listens,
    gaveUp,
    outlived,
    drain: (deadlineInMs) => {
      jobs.hold(true);
      drain.stop(deadlineInMs);
    },
    hurry: () => (isLeaving ? agent.drop() : drain.hurry()),
    left,
  };
}
