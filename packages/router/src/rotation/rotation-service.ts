import {
  type ApplicationUid,
  type GatewayUid,
  type Head,
  type InstanceId,
  type Item,
  type ItemUid,
  type JobHandlers,
  type JobId,
  type JobWhy,
  type LinkParams,
  type LinkResult,
  PamError,
} from '@sallyport/protocol';
import { beginLeaseWatch, observeLeases } from '@sallyport/rotation';
import type { AuditTrail, EventBody, NewEvent } from '../audit/index.ts';
import type { Clock } from '../clock.ts';
import { noReadyInstance, type PoolService, type PoolTiming } from '../pool/index.ts';
import type { VaultStore } from '../vault/index.ts';
import { journalHandlers } from './journal-handlers.ts';
import { createOfferDesk } from './offer-desk.ts';
import { fitsMessage } from './offer-size.ts';
import type { OfferedJob, Refused, RotationStore } from './rotation-store.ts';
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
interface JobMember {
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
const offerLimits = { atOnce: 16, offerWithinMs: 30_000, claimWithinMs: 15_000, tryEveryMs: 1_000 } as const;
/** Those in hand are the first of it: among so many there is one for each offer that may go out. */
const offersOfGateway = offerLimits.atOnce;
/** At one server: runs of schedules in all, and what people ordered on one instance. */
const atServer = { scheduledAtOnce: 1, orderedAtOnce: 8 } as const;

export function createRotationService(deps: RotationDeps): RotationService {
  const { store, clock, audit, links, timing } = deps;
  const desk = createOfferDesk(offerLimits);
  const lookMs = Math.max(20, Math.min(tickMs, Math.floor(timing.leaseMs / 20)));
  const scheduler = createScheduler({ ...deps, came: () => wake() });
  let watch = beginLeaseWatch();
  let looking = false;
  let counts: JobCounts = [];
  let troubles: JobTroubles = [];
  let countedMs = Number.NEGATIVE_INFINITY;
  let running: Promise<void> | null = null;
  /** Gateways of which something may begin; null: of any. */
  let woken: Set<GatewayUid> | null = new Set();
  let isStopped = false;
  let stopTicks = (): void => undefined;

  function wake(gateway: GatewayUid | null = null): void {
    if (gateway === null) woken = null;
    else woken?.add(gateway);
    offerWoken();
  }

  function offerWoken(): void {
    if (isStopped) return;
    running ??= offerAll().finally(() => {
      running = null;
      if (woken === null || woken.size > 0) offerWoken();
    });
  }

  async function offerAll(): Promise<void> {
    const of = woken;
    woken = new Set();
    try {
      if (of === null) begin(await store.listOffered({ nowMs: clock.nowMs(), gateway: null, each: offersOfGateway }));
      for (const gateway of of ?? []) {
        const each = desk.wanted(gateway, clock.monotonicMs());
        if (each !== null) begin(await store.listOffered({ nowMs: clock.nowMs(), gateway, each }));
      }
    } catch (reason) {
      woken = new Set();
      deps.failed(reason);
    }
  }

  function begin(offered: readonly OfferedJob[]): void {
    for (const job of offered) {
      if (!desk.take(job.job, job.gateway, clock.monotonicMs())) continue;
      offer(job).catch((reason: unknown) => {
        desk.settled(job.job);
        deps.failed(reason);
      });
    }
  }

  /** Goes along the ring until somebody takes it. */
  async function offer(job: OfferedJob): Promise<void> {
    const not: InstanceId[] = [];
    let items: readonly Item[] | null = null;
    for (;;) {
      const turn = turnOf(job.gateway, not);
      if (turn === 'no-gateway') return await deny(job, null, 'no-instance', null);
      if (turn === null) return await nobody(job, not.length > 0);
      items ??= await store.readOfferItems({ record: job.record });
      const head = deps.head();
      if (items[0]?.parts.facts === undefined || head === null) return await deny(job, null, 'record-invalid', null);
      const { job: id, kind, record, order, dueAtMs } = job;
      const sent = fitsMessage(items);
      try {
        const answer = await links.offer(turn.link, {
          ...{ job: id, kind, record, order, dueAtMs, slot: turn.epoch, head },
          items: [...sent],
        });
        if (answer.kind === 'accepted') return desk.accepted(job.job, clock.monotonicMs());
        if (answer.class === 'denied') return await deny(job, turn.instance, answer.why, answer.note);
      } catch (reason) {
        if (!(reason instanceof PamError)) throw reason;
      }
      not.push(turn.instance);
    }
  }

  function turnOf(
    gateway: GatewayUid,
    not: readonly InstanceId[],
  ): { readonly instance: InstanceId; readonly link: string; readonly epoch: number } | 'no-gateway' | null {
    try {
      return deps.pool.route({ gateway, of: null, not, cause: not.length === 0 ? 'first' : 'refused' }).picked;
    } catch (reason) {
      if (reason instanceof PamError && reason.code === 'PAM_NOT_FOUND') return 'no-gateway';
      throw reason;
    }
  }

  async function nobody(job: OfferedJob, wasRefused: boolean): Promise<void> {
    desk.settled(job.job);
    desk.full(job.gateway, clock.monotonicMs());
    if (wasRefused || job.why === 'no-instance') return;
    await store.noteNoInstance({ jobs: [job.job] });
  }

  async function deny(
    job: OfferedJob,
    instance: InstanceId | null,
    why: JobWhy,
    note: { readonly gen: number; readonly envelope: string } | null,
  ): Promise<void> {
    const event = audit.event('job.ended', { job: job.job, record: job.record, state: 'failed', why, instance });
    const told = audit.note(event);
    const { denied, head } = await store.denyJob({ job: job.job, instance, why, note, told, nowMs: clock.nowMs() });
    desk.settled(job.job);
    desk.roomier(job.gateway);
    if (denied && head !== null) audit.moved(head);
  }

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
      desk.settled(job);
      desk.roomier(gateway);
    }
    wake();
  }

  /** A refusal that the store kept, as the error the instance gets. */
  function answered<Answer extends object>(answer: Answer | Refused): Answer {
    if (!('refused' in answer)) return answer;
    throw new PamError(answer.refused, answer.why);
  }

  function handlersOf(member: () => JobMember): JobHandlers<'router'> {
    const asked = (): { instance: InstanceId; nowMs: number } => ({
      instance: member().instance,
      nowMs: clock.nowMs(),
    });
    return {
      'lease.renew': async ({ lease, after }) => {
        const { gateway } = member();
        const answer = await store.renewLease({ ...asked(), gateway, lease, after });
        if ('lost' in answer) throw new PamError('PAM_LEASE_LOST', `the lease ${lease} was given away`);
        if (answer.lease !== lease) wake();
        const { leaseMs, fenceMs, renewalMs, quiesceMs, effectMs } = timing;
        return { lease: answer.lease, times: { leaseMs, fenceMs, renewalMs, quiesceMs, effectMs } };
      },
      'lease.release': async ({ lease }) => {
        const { gateway } = member();
        free(gateway, await store.releaseLease({ ...asked(), lease }));
        return {};
      },
      'job.claim': async (params) => {
        const { gateway, instance } = member();
        const answer = await store.claimJob({ ...params, ...asked(), ...atServer });
        desk.settled(params.job);
        if ('refused' in answer) {
          desk.roomier(gateway);
          wake(gateway);
        }
        const { claimed, record } = answered(answer);
        audit.later('job.claimed', { job: params.job, record, gateway, instance, epoch: claimed.epoch });
        return claimed;
      },
      'job.stage': async (params) => answered(await store.stageVersion({ ...params, ...asked() })),
      'job.permit': async (params) => {
        const { instance } = member();
        const answer = answered(await store.permitSend({ ...params, ...asked() }));
        audit.later('job.permitted', { job: params.job, instance, epoch: params.epoch, send: answer.send });
        return answer;
      },
      'job.login': async (params) => store.takeLogin({ ...params, ...asked() }),
      'job.report': async (params) => {
        answered(await store.reportStep({ ...params, ...asked() }));
        return {};
      },
      'job.promote': async ({ signed, ...params }) => promote(asked(), params, signed),
      'job.wait': async (params) => {
        const { gateway } = member();
        answered(await store.waitJob({ ...params, ...asked() }));
        desk.roomier(gateway);
        wake(gateway);
        return {};
      },
      'job.finish': async ({ signed, ...params }) => finish(member().gateway, asked(), params, signed),
      'job.late': async (params) => {
        await store.noteLate({ ...params, ...asked() });
        audit.later('job.late', { job: params.job, instance: member().instance, send: params.send });
        return {};
      },
      'vault.state': async ({ uid, state }) => {
        const { app, instance } = member();
        const item = await deps.vault.getItem({ uid });
        if (item === null || item.app !== app) throw new PamError('PAM_NOT_FOUND', `there is no item ${uid}`);
        await deps.vault.putState({ uid, state, author: instance, nowMs: clock.nowMs() });
        return {};
      },
      ...journalHandlers(deps, member),
    };
  }

  async function promote(
    asked: { readonly instance: InstanceId; readonly nowMs: number },
    params: Omit<LinkParams<'job.promote'>, 'signed'>,
    signed: string,
  ): Promise<LinkResult<'job.promote'>> {
    const { job, version, epoch } = params;
    const { instance } = asked;
    const event = await deps.signedBy(instance, signed, {
      act: 'job.promote',
      content: params,
      kind: 'job.promoted',
      body: { job, instance, epoch, version },
    });
    const promoted = event === null ? null : audit.note(event);
    const edited = event === null ? null : audit.note({ ...event, kind: 'job.not-promoted' });
    const done = answered(await store.promoteVersion({ ...params, ...asked, promoted, edited }));
    if (done.head !== null) audit.moved(done.head);
    if (done.answer.kind === 'promoted' && !done.again) {
      deps.promoted(asked.nowMs - done.createdAtMs);
      links.changed([done.record], done.app);
    }
    return done.answer;
  }

  async function finish(
    gateway: GatewayUid,
    asked: { readonly instance: InstanceId; readonly nowMs: number },
    params: Omit<LinkParams<'job.finish'>, 'signed'>,
    signed: string,
  ): Promise<Record<never, never>> {
    const { job, outcome, why } = params;
    const { instance } = asked;
    const event = await deps.signedBy(instance, signed, {
      act: 'job.finish',
      content: params,
      kind: 'job.ended',
      body: { job, instance, state: outcome, why },
    });
    const told = event === null ? null : audit.note(event);
    const done = answered(await store.finishJob({ ...params, ...asked, told }));
    if (done.head !== null) audit.moved(done.head);
    deps.ended(done.job);
    if (outcome === 'attention' || why === 'not-retired' || why === 'retired') countedMs = Number.NEGATIVE_INFINITY;
    desk.settled(job);
    desk.roomier(gateway);
    wake(gateway);
    return {};
  }

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
      isStopped = true;
      stopTicks();
    },
    wake: () => wake(),
    tellCancelled: (job) => {
      if (job.holder !== null) links.cancel(job.holder.instance, job.id);
      wake();
    },
    left: async (instance) => {
      const freed = await store.releaseLease({ instance, lease: null, nowMs: clock.nowMs() });
      for (const job of freed) desk.settled(job);
      if (freed.length > 0) wake();
    },
    handlersOf,
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
