import {
  createMetrics,
  type Decision,
  type ErrorCode,
  errorCatalog,
  type GatewayUid,
  type JobView,
  PamError,
  productVersion,
} from '@sallyport/protocol';
import type { EventBody } from '../audit/index.ts';
import type { PoolService } from '../pool/index.ts';
import type { JobCounts, JobTroubles } from '../rotation/index.ts';
import type { ProcessUsage, RelayTotals } from '../relay/index.ts';
import { type NotReady, reasonCodes } from './readiness.ts';
import type { Usage } from './system-usage.ts';

/** Seconds; from a transaction in memory to one that waits for a disk that is dying. */
const storeBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];
/** Seconds; around a round trip, the hedge time (0.4 s) and the deadline (8 s). */
const dispatchBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.5, 1, 2, 4, 8];
/** Seconds from order to promotion: a login or two, a settling time, a wait. */
const rotationBounds = [0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1_800];
const apiBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
/** Further ones are added up under `other`. */
const mostGateways = 1_000;
const memberStates = ['ready', 'suspect', 'absent', 'draining', 'cordoned', 'standby'] as const;

/** What is read from the router's parts at each scrape. */
interface FiguresNow {
  readonly usage: Usage;
  readonly reasons: readonly NotReady[];
  readonly pools: ReturnType<PoolService['list']>;
  readonly relay: RelayTotals | null;
  /** `none`: no leg came inside TLS yet. */
  readonly carriers: ProcessUsage | 'none' | null;
  readonly links: { readonly members: number; readonly strangers: number };
  readonly apiConnections: number;
  /** Things decided and not stored yet. */
  readonly waiting: { readonly audit: number; readonly streams: number };
  readonly jobs: JobCounts;
  readonly troubles: JobTroubles;
  readonly schedulesStopped: boolean;
}

/**
 * Every figure of a router, by what counts it. Labels are UIDs of gateways, route templates, codes and words of closed
 * lists: no title, host, address, person or record, which the router could not tell anyhow, or has no business telling.
 */
export interface RouterFigures {
  ran(ran: { readonly isRead: boolean; readonly isDone: boolean; readonly ms: number }): void;
  answered(answer: { readonly route: string; readonly status: number; readonly ms: number }): void;
  picked(cause: Decision['cause'], isPicked: boolean): void;
  placed(reason: unknown, ms: number): void;
  unanswered(): void;
  braked(what: string): void;
  handshake(isDone: boolean): void;
  refusedAccept(): void;
  event(kind: string, body: EventBody): void;
  /** A rotation was promoted so long after it was ordered, or fell due. */
  promoted(ms: number): void;
  jobEnded(job: Pick<JobView, 'kind' | 'state' | 'after'>): void;
  alertSent(outcome: 'delivered' | 'failed' | 'dropped'): void;
  text(now: FiguresNow): string;
}

type Maker = ReturnType<typeof createMetrics>;

function poolFigures(metrics: Maker): (pools: FiguresNow['pools']) => void {
  const of = ['gateway'];
  const members = metrics.gauge('sallyport_pool_members', 'Instances of a gateway by state', ['gateway', 'state']);
  const maximum = metrics.gauge('sallyport_pool_maximum_instances', 'Most slots of a gateway', of);
  const slots = metrics.gauge('sallyport_pool_slots', 'Slots held, by any state', of);
  const ejected = metrics.gauge('sallyport_pool_ejected_pairs', 'Pairs of instance and target passed over', of);
  const streams = metrics.gauge('sallyport_pool_streams', 'Streams that run on a gateway', of);
  return (pools) => {
    for (const each of [members, maximum, slots, ejected, streams]) each.clear();
    for (const { gateway, instances, ejectedPairs } of pools) {
      const uid: GatewayUid = gateway.uid;
      const count = new Map<string, number>(memberStates.map((state) => [state, 0]));
      for (const { state, health } of instances) {
        const shown = state === 'suspect' && health === 'absent' ? 'absent' : state;
        count.set(shown, (count.get(shown) ?? 0) + 1);
      }
      for (const state of memberStates) members.set(count.get(state) ?? 0, [uid, state]);
      maximum.set(gateway.maxInstances, [uid]);
      slots.set(instances.filter(({ state }) => state !== 'standby').length, [uid]);
      ejected.set(ejectedPairs, [uid]);
      const running = instances.reduce((sum, each) => sum + each.streams, 0);
      streams.set(running, [uid]);
    }
  };
}

function relayFigures(metrics: Maker): (totals: RelayTotals | null) => void {
  const up = metrics.gauge('sallyport_relay_up', 'The relay process answered this scrape');
  const sockets = metrics.gauge('sallyport_relay_sockets', 'Sockets of the relay by what they are', ['kind']);
  const budget = metrics.gauge('sallyport_relay_sockets_limit', 'Most sockets of a kind', ['kind']);
  const matches = metrics.gauge('sallyport_relay_matches', 'Pairs of legs that are joined now');
  const told = metrics.counter('sallyport_relay_legs_total', 'Legs by the status they were told', ['status']);
  const ended = metrics.counter('sallyport_relay_matches_ended_total', 'Joined pairs that ended, by why', ['why']);
  const bytes = metrics.counter('sallyport_relay_bytes_total', 'Bytes copied (ciphertext)', ['direction']);
  const dropped = metrics.counter('sallyport_relay_dropped_total', 'Sockets closed before they were a leg', ['kind']);
  const cpu = metrics.counter('sallyport_relay_cpu_seconds_total', 'Processor time of the relay process');
  const memory = metrics.gauge('sallyport_relay_resident_memory_bytes', 'Memory of the relay process');
  return (totals) => {
    up.set(totals === null ? 0 : 1);
    if (totals === null) return;
    sockets.set(totals.undecided, ['undecided']);
    sockets.set(totals.legs, ['leg']);
    sockets.set(totals.parked, ['parked']);
    sockets.set(totals.waiting, ['waiting']);
    budget.set(totals.budget.undecided, ['undecided']);
    budget.set(totals.budget.legs, ['leg']);
    budget.set(totals.budget.parked, ['parked']);
    budget.set(totals.budget.waiting, ['waiting']);
    matches.set(totals.splices);
    for (const [status, count] of Object.entries(totals.told)) told.total(count, [status]);
    for (const [why, count] of Object.entries(totals.ended)) ended.total(count, [why]);
    bytes.total(totals.bytesUp, ['up']);
    bytes.total(totals.bytesDown, ['down']);
    dropped.total(totals.droppedUndecided, ['undecided']);
    dropped.total(totals.droppedWaiting, ['waiting']);
    cpu.total(totals.cpuSeconds);
    memory.set(totals.residentBytes);
  };
}

function carrierFigures(metrics: Maker): (usage: FiguresNow['carriers']) => void {
  const up = metrics.gauge(
    'sallyport_carriers_up',
    'The carrier process answered this scrape; absent while there is none',
  );
  const cpu = metrics.counter('sallyport_carriers_cpu_seconds_total', 'Processor time of the carrier process');
  const memory = metrics.gauge('sallyport_carriers_resident_memory_bytes', 'Memory of the carrier process');
  return (usage) => {
    for (const each of [up, memory]) each.clear();
    if (usage === 'none') return;
    up.set(usage === null ? 0 : 1);
    if (usage === null) return;
    cpu.total(usage.cpuSeconds);
    memory.set(usage.residentBytes);
  };
}

function jobFigures(metrics: Maker): (now: Pick<FiguresNow, 'jobs' | 'troubles' | 'schedulesStopped'>) => void {
  const jobs = metrics.gauge(
    'sallyport_jobs',
    'Open jobs, accounts that need attention, and accounts that an older credential still opens (leftover)',
    ['gateway', 'state'],
  );
  const troubles = metrics.gauge(
    'sallyport_rotation_troubles',
    'Records whose last rotation failed, was missed, is late, or was not followed by all that follows it',
    ['gateway', 'what'],
  );
  const stopped = metrics.gauge('sallyport_scheduler_stopped', 'Schedules do not run: the clock cannot be trusted');
  return (now) => {
    jobs.clear();
    for (const { gateway, state, count } of now.jobs) jobs.set(count, [gateway, state]);
    troubles.clear();
    for (const { gateway, what, count } of now.troubles) troubles.set(count, [gateway ?? 'none', what]);
    stopped.set(now.schedulesStopped ? 1 : 0);
  };
}

function processFigures(metrics: Maker): (usage: Usage) => void {
  const cpu = metrics.counter('process_cpu_seconds_total', 'Processor time, user and system');
  const memory = metrics.gauge('process_resident_memory_bytes', 'Resident memory');
  const open = metrics.gauge('process_open_fds', 'Open file descriptors');
  const most = metrics.gauge('process_max_fds', 'Limit of open file descriptors');
  const started = metrics.gauge('process_start_time_seconds', 'Start, Unix time');
  const delay = metrics.gauge('sallyport_event_loop_delay_seconds', 'Lateness of turns since the last scrape', [
    'quantile',
  ]);
  return (usage) => {
    const { cpuSeconds, residentBytes } = usage.used();
    cpu.total(cpuSeconds);
    memory.set(residentBytes);
    const descriptors = usage.descriptors();
    if (descriptors !== null) {
      open.set(descriptors.open);
      most.set(descriptors.limit);
    }
    started.set(usage.startedAt);
    const { p50, p99, max } = usage.turnDelay();
    delay.set(p50, ['0.5']);
    delay.set(p99, ['0.99']);
    delay.set(max, ['1']);
  };
}

function nowFigures(metrics: Maker): (now: FiguresNow) => void {
  const ready = metrics.gauge('sallyport_ready', 'Whether /readyz answers 200');
  const why = metrics.gauge('sallyport_not_ready', 'Why it does not', ['reason']);
  const links = metrics.gauge('sallyport_links', 'Control links', ['kind']);
  const api = metrics.gauge('sallyport_api_connections', 'TLS connections to API and control links');
  const waiting = metrics.gauge('sallyport_store_waiting', 'Decided, not stored yet', ['kind']);
  const [process, pool, relay] = [processFigures(metrics), poolFigures(metrics), relayFigures(metrics)];
  const carriers = carrierFigures(metrics);
  const jobs = jobFigures(metrics);
  return (now) => {
    jobs(now);
    ready.set(now.reasons.length === 0 ? 1 : 0);
    for (const code of reasonCodes) why.set(now.reasons.some((each) => each.code === code) ? 1 : 0, [code]);
    links.set(now.links.members, ['instance']);
    links.set(now.links.strangers, ['unproved']);
    api.set(now.apiConnections);
    waiting.set(now.waiting.audit, ['audit']);
    waiting.set(now.waiting.streams, ['streams']);
    process(now.usage);
    pool(now.pools);
    relay(now.relay);
    carriers(now.carriers);
  };
}

function outcomeOf(reason: unknown): 'placed' | ErrorCode {
  if (reason === null) return 'placed';
  return reason instanceof PamError && reason.code in errorCatalog ? reason.code : 'PAM_INTERNAL';
}

export function createRouterFigures(): RouterFigures {
  const metrics = createMetrics(mostGateways * memberStates.length);
  metrics.gauge('sallyport_build_info', 'What runs', ['version', 'node']).set(1, [productVersion, process.version]);
  const read = nowFigures(metrics);
  const store = metrics.histogram('sallyport_store_seconds', 'Transactions', storeBounds, ['kind']);
  const storeFailed = metrics.counter('sallyport_store_failed_total', 'Transactions the store could not do', ['kind']);
  const api = metrics.histogram('sallyport_api_seconds', 'API requests', apiBounds);
  const requests = metrics.counter('sallyport_api_requests_total', 'API requests', ['route', 'status']);
  const picks = metrics.counter(
    'sallyport_dispatch_picks_total',
    'Turns by cause, and whether somebody could be picked',
    [...['cause', 'outcome']],
  );
  const dispatch = metrics.histogram(
    'sallyport_dispatch_seconds',
    'From request to acceptance or refusal',
    dispatchBounds,
  );
  const dispatched = metrics.counter('sallyport_dispatches_total', 'Streams asked for, by outcome', ['outcome']);
  const unanswered = metrics.counter(
    'sallyport_dispatch_unanswered_total',
    'Dispatches not answered in the hedge time',
  );
  const brakes = metrics.counter('sallyport_brakes_total', 'Requests refused by a brake', ['brake']);
  const handshakes = metrics.counter('sallyport_tls_handshakes_total', 'TLS handshakes', ['outcome']);
  const refusedAccepts = metrics.counter('sallyport_accept_refused_total', 'Connections closed for want of a turn');
  const hellos = metrics.counter('sallyport_hellos_total', 'Instances that said hello, by outcome', ['outcome']);
  const events = metrics.counter('sallyport_events_total', "Events of the audit log that are the router's own", [
    'kind',
  ]);
  const rotations = metrics.histogram(
    'sallyport_rotation_seconds',
    'From order, or due time, to promotion',
    rotationBounds,
  );
  const jobsEnded = metrics.counter('sallyport_jobs_ended_total', 'Jobs that ended', ['kind', 'state']);
  const followed = metrics.counter(
    'sallyport_after_rotation_total',
    'Scripts and services after a rotation, by how they ended',
    ['what', 'outcome'],
  );
  const alerts = metrics.counter('sallyport_alert_messages_total', 'Alerts to the webhook', ['outcome']);
  return {
    ran: ({ isRead, isDone, ms }) => {
      store.observe(ms / 1_000, [isRead ? 'read' : 'write']);
      if (!isDone) storeFailed.add([isRead ? 'read' : 'write']);
    },
    answered: ({ route, status, ms }) => {
      requests.add([route, String(status)]);
      api.observe(ms / 1_000);
    },
    picked: (cause, isPicked) => picks.add([cause, isPicked ? 'picked' : 'none']),
    placed: (reason, ms) => {
      dispatched.add([outcomeOf(reason)]);
      dispatch.observe(ms / 1_000);
    },
    unanswered: () => unanswered.add(),
    braked: (what) => brakes.add([what]),
    refusedAccept: () => refusedAccepts.add(),
    handshake: (isDone) => handshakes.add([isDone ? 'done' : 'failed']),
    event: (kind, body) => {
      events.add([kind]);
      if (kind === 'instance.joined') hellos.add([String(body['membership'])]);
      if (kind === 'instance.refused') hellos.add([String(body['code'])]);
    },
    promoted: (ms) => rotations.observe(ms / 1_000),
    jobEnded: ({ kind, state, after }) => {
      jobsEnded.add([kind, state]);
      if (after === null) return;
      for (const [what, counts] of [
        ['script', after.scripts],
        ['service', after.services],
      ] as const) {
        for (const [outcome, count] of Object.entries(counts)) if (count > 0) followed.add([what, outcome], count);
      }
    },
    alertSent: (outcome) => alerts.add([outcome]),
    text: (now) => {
      read(now);
      return metrics.text();
    },
  };
}
