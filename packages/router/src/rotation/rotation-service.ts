import type {
  ApplicationUid,
  GatewayUid,
  Head,
  InstanceId,
  ItemUid,
  JobHandlers,
  JobId,
  LinkParams,
  LinkResult,
} from '@sallyport/protocol';
import { beginLeaseWatch, observeLeases } from '@sallyport/rotation';
import type { AuditTrail, EventBody, NewEvent } from '../audit/index.ts';
import type { Clock } from '../clock.ts';
import { noReadyInstance, type PoolService, type PoolTiming } from '../pool/index.ts';
import type { VaultStore } from '../vault/index.ts';
import { jobHandlers } from './job-handlers.ts';
import { createJobOffers } from './job-offers.ts';
import type { RotationStore } from './rotation-store.ts';
import { createScheduler, type SchedulerState } from './scheduler.ts';
import type { StoredJob } from './stored-job.ts';

/** The control links, as jobs need them. */
export interface JobLinks {
  offer(link: string, params: LinkParams<'job.offer'>): Promise<LinkResult<'job.offer'>>;
  kinds(link: string): Promise<LinkResult<'kind.list'>>;
  /** Nothing when it has no link now: it hears of it at its next call. */
  cancel(instance: InstanceId, job: JobId): void;
  /** Items of one application changed. */
  changed(items: readonly ItemUid[], app: ApplicationUid): void;
}

/** Whom a link is of. */
export interface JobMember {
  readonly gateway: GatewayUid;
  readonly instance: InstanceId;
  readonly app: string;
}

export interface RotationDeps {
  readonly store: RotationStore;
  readonly vault: Pick<VaultStore, 'getItem' | 'putState'>;
  readonly pool: Pick<PoolService, 'route'>;
  readonly links: JobLinks;
  readonly audit: AuditTrail;
  /** An event that the instance signed; null when it is the last of its chain already: an answer was lost. */
  readonly signedBy: (
    instance: InstanceId,
    signed: string,
    of: { readonly act: string; readonly content: unknown; readonly kind: string; readonly body: EventBody },
  ) => Promise<NewEvent | null>;
  readonly head: () => Head | null;
  readonly clock: Clock;
  /** Time since boot: goes on while the machine sleeps. */
  readonly bootMs: () => number;
  readonly timing: Pick<PoolTiming, 'leaseMs' | 'fenceMs' | 'renewalMs' | 'quiesceMs' | 'effectMs'>;
  readonly newJobId: () => JobId;
  /** Start of this router, Unix ms. */
  readonly start: number;
  /** Latest wall time that was noted in the store, and where the next is noted. */
  readonly wall: {
    readonly seenMs: number | null;
    readonly note: (wallMs: number) => Promise<void>;
  };
  readonly promoted: (ms: number) => void;
  readonly ended: (job: StoredJob) => void;
  readonly failed: (error: unknown) => void;
}

/** Records whose rotation is in trouble, as of the last look. */
export type JobTroubles = Awaited<ReturnType<RotationStore['countTroubles']>>;
/** Jobs by state, as of the last look. */
export type JobCounts = Awaited<ReturnType<RotationStore['countJobs']>>;

/**
 * Jobs and who runs them: offers along the ring, leases, and the timer of schedules.
 *
 * J1 a job is offered to one instance at a time; the claim in the store is what counts, the offer is none (F7).
 * J2 who refuses is passed over, who draws nothing is asked again when something changed.
 * J3 a lease is given away only by who saw it unrenewed for W while it ran and could read the store (F4).
 */
export interface RotationService {
  start(): Promise<void>;
  stop(): void;
  /** Something may begin now. */
  wake(): void;
  /** Somebody asked a job to stop: its holder is told. */
  tellCancelled(job: StoredJob): void;
  /** An instance said bye: nothing runs there any more. */
  left(instance: InstanceId): Promise<void>;
  /** What an instance may say of jobs. */
  handlersOf(member: () => JobMember): JobHandlers<'router'>;
  /** What the next ready instance can rotate. @throws PAM_POOL_NO_READY_INSTANCE */
  kindsOf(gateway: GatewayUid): Promise<{ readonly instance: InstanceId } & LinkResult<'kind.list'>>;
  counts(): JobCounts;
  troubles(): JobTroubles;
  scheduler(): SchedulerState;
}

const tickMs = 1_000;
const countEveryMs = 5_000;
/** A scheduled run that is open so long after its time is told as late: jitter and the spread after an outage are less. */
const lateAfterMs = 3_600_000;

export function createRotationService(deps: RotationDeps): RotationService {
  const { store, clock, audit, links, timing } = deps;
  const offers = createJobOffers(deps);
  const { wake } = offers;
  const lookMs = Math.max(20, Math.min(tickMs, Math.floor(timing.leaseMs / 20)));
  const scheduler = createScheduler({ ...deps, came: () => wake() });
  let watch = beginLeaseWatch();
  let looking = false;
  let counts: JobCounts = [];
  let troubles: JobTroubles = [];
  let countedMs = Number.NEGATIVE_INFINITY;
  let stopTicks = (): void => undefined;

  async function look(): Promise<void> {
    if (looking) return;
    looking = true;
    try {
      await giveLeasesAway();
      const nowMs = clock.monotonicMs();
      if (nowMs - countedMs < countEveryMs) return;
      countedMs = nowMs;
      counts = await store.countJobs({});
      troubles = await store.countTroubles({ dueBeforeMs: clock.nowMs() - lateAfterMs });
    } catch (reason) {
      watch = observeLeases(watch, null, clock.monotonicMs(), leaseRules).watch;
      deps.failed(reason);
    } finally {
      looking = false;
    }
  }

  const leaseRules = { leaseMs: timing.leaseMs, gapMs: 2 * lookMs };
  async function giveLeasesAway(): Promise<void> {
    const seen = await store.listHeldLeases({});
    const looked = observeLeases(watch, seen, clock.monotonicMs(), leaseRules);
    ({ watch } = looked);
    for (const lease of looked.over) {
      const freed = await store.giveLeaseAway({ ...lease, nowMs: clock.nowMs() });
      const { instance, gateway } = lease;
      if (freed.length === 0) continue;
      audit.later('lease.given-away', { instance, gateway, jobs: freed.length });
      free(gateway, freed);
    }
  }

  function free(gateway: GatewayUid, jobs: readonly JobId[]): void {
    for (const job of jobs) {
      offers.settled(job);
      offers.roomier(gateway);
    }
    wake();
  }

  /** What lists and alerts say of accounts changed: they are counted at the next look. */
  const countSoon = (): void => {
    countedMs = Number.NEGATIVE_INFINITY;
  };

  return {
    start: async () => {
      await scheduler.start();
      const stopLooks = clock.every(lookMs, () => void look());
      const stopTurns = clock.every(tickMs, () => {
        wake();
        void scheduler.look();
      });
      stopTicks = () => {
        stopLooks();
        stopTurns();
      };
      wake();
    },
    stop: () => {
      offers.stop();
      stopTicks();
    },
    wake: () => wake(),
    tellCancelled: (job) => {
      if (job.holder !== null) links.cancel(job.holder.instance, job.id);
      wake();
    },
    left: async (instance) => {
      const freed = await store.releaseLease({ instance, lease: null, nowMs: clock.nowMs() });
      for (const job of freed) offers.settled(job);
      if (freed.length > 0) wake();
    },
    handlersOf: (member) => jobHandlers({ ...deps, offers, free, countSoon }, member),
    kindsOf: async (gateway) => {
      const { decision, picked } = deps.pool.route({ gateway, of: null, not: [], cause: 'first' });
      if (picked === null) throw noReadyInstance(decision);
      return { instance: picked.instance, ...(await links.kinds(picked.link)) };
    },
    counts: () => counts,
    troubles: () => troubles,
    scheduler: scheduler.state,
  };
}
