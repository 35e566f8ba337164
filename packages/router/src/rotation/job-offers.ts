import { type GatewayUid, type InstanceId, type Item, type JobId, type JobWhy, PamError } from '@sallyport/protocol';
import { createOfferDesk } from './offer-desk.ts';
import { fitsMessage } from './offer-size.ts';
import type { RotationDeps } from './rotation-service.ts';
import type { OfferedJob } from './rotation-store.ts';

const offerLimits = { atOnce: 16, offerWithinMs: 30_000, claimWithinMs: 15_000, tryEveryMs: 1_000 } as const;
/** Those in hand are the first of it: among so many there is one for each offer that may go out. */
const offersOfGateway = offerLimits.atOnce;

/**
 * Offers what waits along the ring of its gateway, until somebody takes it (J1, J2). Asked while it is at it, it looks once
 * more afterwards.
 */
export interface JobOffers {
  /** Something may begin now: of this gateway, or (null) of any. */
  wake(gateway?: GatewayUid | null): void;
  /** Claimed, refused, or ended. */
  settled(job: JobId): void;
  /** A job of it ended, or was not begun. */
  roomier(gateway: GatewayUid): void;
  /** Nothing is offered any more. */
  stop(): void;
}

export function createJobOffers(
  deps: Pick<RotationDeps, 'store' | 'pool' | 'links' | 'audit' | 'head' | 'clock' | 'failed'>,
): JobOffers {
  const { store, clock, audit, links } = deps;
  const desk = createOfferDesk(offerLimits);
  let running: Promise<void> | null = null;
  /** Gateways of which something may begin; null: of any. */
  let woken: Set<GatewayUid> | null = new Set();
  let isStopped = false;

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

  return {
    wake,
    settled: desk.settled,
    roomier: desk.roomier,
    stop: () => {
      isStopped = true;
    },
  };
}
