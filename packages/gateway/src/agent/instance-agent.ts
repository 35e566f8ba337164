import { type ErrorCode, type LinkParams, type MembershipView, PamError } from '@sallyport/protocol';
import type { LogState } from '@sallyport/seal';
import type { Reach } from '@sallyport/stream';
import type { NeverEndpoint } from './dial/index.ts';
import { type HelloDeps, sayHello } from './hello.ts';
import type { ControlLink } from './link/control-link.ts';
import type { LinkSaying } from './link/link-life.ts';
import { type Admission, createLinkRunner, type LinkedHandlers } from './link/link-runner.ts';
import { readRouterAddress, showAddress } from './link/router-address.ts';
import { createRouterPlaces } from './router-places.ts';
import type { StreamReporter } from './report/stream-reporter.ts';
import type { Log, Runtime } from './runtime.ts';
import { createLogGiver } from './trust/give-back-log.ts';
import type { KeyRing } from './trust/key-ring.ts';
import type { ReadLog } from './trust/trust-memory.ts';
import type { JobWorkload } from './job-workload.ts';
import type { Workload, WorkloadContext } from './workload.ts';

const logReadWithinMs = 20_000;
const reportWithinMs = 10_000;
/** For the last reports, and for the bye; one who is in a hurry waits less. */
const byeWithinMs = { drained: 2_000, stopped: 500 } as const;

export interface AgentDeps extends HelloDeps {
  /** How routers are reached. */
  readonly reach: Reach;
  readonly keys: KeyRing;
  readonly reporter: StreamReporter;
  readonly workload: Workload;
  readonly jobs: JobWorkload;
  readonly runtime: Runtime;
  readonly log: Log;
  /** Resolves a router's name, so that tunnels never lead to the router. */
  readonly resolve: (name: string) => Promise<readonly string[]>;
  /** What an operator wants of this instance, as the router tells it. */
  readonly onIntent: (intent: LinkParams<'link.intent'>['intent']) => void;
  /** A link is up, admitted and settled. */
  readonly onLinked: () => void;
  /** The instance cannot go on: its program ends with this error. */
  readonly onGiveUp: (error: PamError) => void;
}

export interface AgentStatus {
  /** Link up, admitted (slot or standby), trust log and keys verified. */
  readonly ready: boolean;
  readonly membership: MembershipView | null;
  readonly router: string;
  /** Why it is not ready; '' when it is. */
  readonly why: string;
  /** The same as a code; null when no error is known. */
  readonly code: ErrorCode | null;
  /** Wall time since which the link is up, or away. */
  readonly sinceMs: number;
  /** Links lost after they were ready. */
  readonly losses: number;
  readonly rttMs: number | null;
  /** Number of the newest entry of the trust log that was verified. */
  readonly headNumber: number;
}

export interface InstanceAgent {
  start(): void;
  status(): AgentStatus;
  /** Pins of the routers' keys to accept now. */
  pins(): readonly string[];
  /** Endpoints of the routers as far as known, for the dial policy. */
  routerEndpoints(): readonly NeverEndpoint[];
  /** Says to the router that this instance drains by itself, if there is a link now. */
  reportDrain(deadlineInMs: number): void;
  /** Says bye and ends the link. */
  leave(reason: 'stopped' | 'drained'): Promise<void>;
  /** Ends the link without a word; a `leave` under way then ends. */
  drop(): void;
}

/** One instance as the router sees it: its link, its membership, its trust log, its reports. */
export function createInstanceAgent(deps: AgentDeps): InstanceAgent {
  const { trust, keys, log, workload, config } = deps;
  const routers = config.routers.map(readRouterAddress);
  const giver = createLogGiver({ trust, monotonicMs: deps.runtime.monotonicMs, log });
  const places = createRouterPlaces(routers, deps.resolve);
  let why = 'not started';
  let code: ErrorCode | null = null;
  let sinceMs = deps.nowMs();
  let losses = 0;
  let lastAdmission: Admission | null = null;

  const readLogOver =
    (link: ControlLink): ReadLog =>
    (from) =>
      link.call('log.read', { from }, { timeoutMs: logReadWithinMs });

  const catchUp = async (link: ControlLink): Promise<LogState> => {
    const verified = await trust.catchUp(readLogOver(link));
    workload.recheck(verified);
    return verified;
  };

  const contextOf = (link: ControlLink): WorkloadContext => ({
    held: runner.state().held,
    router: link.address,
    log: () => trust.log(),
    catchUp: () => catchUp(link),
    factsKey: (gen) => keys.key('facts', gen, trust.log()),
    secretsKey: (gen) => keys.key('secrets', gen, trust.log()),
  });

  const handlers = (link: ControlLink): LinkedHandlers => ({
    'link.duplicate': async ({ from }) => {
      log.warn('another process uses this identity; it was refused and this one goes on', {
        instance: deps.identity.id,
        from,
        remedy: 'Do not clone a running machine: start a fresh instance there.',
      });
      return {};
    },
    'vault.changed': async ({ head }) => {
      if (head.n <= trust.log().head.n) return {};
      await catchUp(link).catch((error: PamError) => link.cut(error));
      return {};
    },
    'link.intent': async ({ intent }) => {
      deps.onIntent(intent);
      return {};
    },
    'stream.dispatch': (params, signal) => workload.dispatch(params, contextOf(link), signal),
    'stream.resume': async (params) => workload.resume(params, contextOf(link)),
    'stream.forget': async (params) => {
      workload.forget(params);
      return {};
    },
    'stream.end': async (params) => {
      workload.end(params);
      return {};
    },
    'leg.park': async (params) => {
      workload.park(params, contextOf(link));
      return {};
    },
    'job.offer': (params) => deps.jobs.offer(params, contextOf(link)),
    'job.cancel': async ({ job }) => {
      deps.jobs.cancel(job);
      return {};
    },
    'kind.list': async () => deps.jobs.kinds(),
  });

  const runner = createLinkRunner({
    routers,
    runtime: deps.runtime,
    log,
    reach: deps.reach,
    pins: () => pinsNow(),
    carries: () => workload.running().length > 0,
    handlers,
    prove: async (link, challenge, state, signal) => {
      await giver.beforeHello(link);
      const admission = await sayHello(deps, link, challenge, state.held, signal).catch((reason: unknown) => {
        throw giver.refused(PamError.from(reason, 'PAM_INTERNAL', 'the hello failed'));
      });
      keys.offer(admission.wraps);
      lastAdmission = admission;
      return admission;
    },
    settle: async (link) => {
      const verified = await catchUp(link);
      const gen = verified.apps.get(config.app)?.currentGen ?? 0;
      if (gen > 0) await keys.key('facts', gen, verified);
    },
    onReady: (link) => {
      why = '';
      code = null;
      sinceMs = deps.nowMs();
      if (link.remote !== null) places.seen(link.remote);
      deps.jobs.linked(link.call);
      deps.reporter.attach((params) => link.call('stream.events', params, { timeoutMs: reportWithinMs }));
      const kind = runner.state().held === null ? 'standby' : 'slot';
      log.info('ready', {
        instance: deps.identity.id,
        gateway: config.gateway,
        membership: kind,
        router: showAddress(link.address),
      });
      deps.onLinked();
    },
    onLost: () => {
      why = 'the link to the router is away';
      sinceMs = deps.nowMs();
      losses += 1;
      deps.reporter.detach();
      deps.jobs.unlinked();
    },
    onSaying: (what) => say(what),
    onGiveUp: (error) => {
      why = error.message;
      code = error.code;
      deps.onGiveUp(error);
    },
  });

  function pinsNow(): readonly string[] {
    const known = trust.log();
    return known.head.n >= config.floor.n && known.routerPins.length > 0 ? known.routerPins : config.pins;
  }

  function say(what: LinkSaying): void {
    const instance = deps.identity.id;
    switch (what.kind) {
      case 'slot': {
        const { seq, epoch, promoted } = what;
        const { admitted = 0, maxInstances = 0 } = promoted ? {} : (lastAdmission ?? {});
        const of = promoted ? {} : { admitted, maxInstances };
        log.info(promoted ? 'promoted' : 'admitted', { instance, membership: 'slot', seq, epoch, ...of });
        return;
      }
      case 'standby':
        log.info('waiting as standby', { instance, reason: what.reason, position: what.position });
        return;
      case 'unreachable':
        why = what.error.message;
        code = what.error.code;
        log.warn(
          what.error.code === 'PAM_INSTANCE_DUPLICATE'
            ? 'the router knows another live process by this identity; asking it once more'
            : 'router not reachable, trying until it answers',
          spoken(what.error),
        );
        return;
      case 'lost':
        code = what.error.code;
        log.warn('link lost, redialling; running streams go on', spoken(what.error));
        return;
      default:
        what satisfies never;
    }
  }

  return {
    start: () => {
      why = 'no answer from the router yet';
      places.refresh();
      runner.start();
    },
    status: () => {
      const { phase } = runner.state();
      const link = runner.current();
      return {
        ready: link !== null && phase.kind === 'admitted',
        membership: phase.kind === 'admitted' ? phase.membership : null,
        router: link === null ? config.routers.join(' ') : showAddress(link.address),
        why,
        code,
        sinceMs,
        losses,
        rttMs: runner.rttMs(),
        headNumber: trust.knownHead().n,
      };
    },
    pins: pinsNow,
    routerEndpoints: () => places.endpoints(),
    reportDrain: (deadlineInMs) => {
      runner
        .current()
        ?.call('link.drain', { deadlineInMs }, { timeoutMs: reportWithinMs })
        .catch((error: PamError) => log.debug('the router did not take the drain', { code: error.code }));
    },
    leave: async (reason) => {
      const link = runner.current();
      if (link !== null) {
        await withinMs(deps.reporter.flushed(), byeWithinMs[reason], deps.runtime);
        await link
          .call('link.bye', { reason }, { timeoutMs: byeWithinMs[reason] })
          .catch((error: PamError) => log.debug('the router did not take the bye', { code: error.code }));
      }
      runner.stop();
    },
    drop: () => runner.stop(),
  };
}

/** Waits for `work`, but no longer than `ms`. */
async function withinMs(work: Promise<void>, ms: number, runtime: Runtime): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const cancel = runtime.schedule(ms, resolve);
  await Promise.race([work, late]);
  cancel();
}

const spoken = (error: PamError): Record<string, string> => ({
  code: error.code,
  error: error.message,
  remedy: error.remedy,
});
