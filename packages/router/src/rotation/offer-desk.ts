import type { GatewayUid, JobId } from '@sallyport/protocol';

/**
 * Jobs that are on their way to an instance, in memory only: the claim in the store is what counts.
 *
 * Stages of a job here: taken → accepted (its claim is awaited) → settled. One that is accepted and not claimed within
 * `claimWithinMs` is offered again.
 */
export interface OfferDesk {
  /** May it be offered now? Takes it if so. */
  take(job: JobId, gateway: GatewayUid, nowMs: number): boolean;
  accepted(job: JobId, nowMs: number): void;
  /** Claimed, refused, or ended. */
  settled(job: JobId): void;
  /** Everybody is busy: nothing is offered before `untilMs`, or until something of the gateway ends. */
  full(gateway: GatewayUid, untilMs: number): void;
  roomier(gateway: GatewayUid): void;
}

interface InHand {
  readonly gateway: GatewayUid;
  readonly untilMs: number;
}

export function createOfferDesk(limits: {
  /** Offers of one gateway under way at once. */
  readonly atOnce: number;
  readonly offerWithinMs: number;
  readonly claimWithinMs: number;
}): OfferDesk {
  const inHand = new Map<JobId, InHand>();
  const counts = new Map<GatewayUid, number>();
  const fullUntilMs = new Map<GatewayUid, number>();

  function drop(job: JobId): void {
    const known = inHand.get(job);
    if (known === undefined) return;
    inHand.delete(job);
    const left = (counts.get(known.gateway) ?? 1) - 1;
    if (left > 0) counts.set(known.gateway, left);
    else counts.delete(known.gateway);
  }

  return {
    take: (job, gateway, nowMs) => {
      const known = inHand.get(job);
      if (known !== undefined && known.untilMs > nowMs) return false;
      if (known !== undefined) drop(job);
      if ((fullUntilMs.get(gateway) ?? 0) > nowMs) return false;
      const now = counts.get(gateway) ?? 0;
      if (now >= limits.atOnce) return false;
      counts.set(gateway, now + 1);
      inHand.set(job, { gateway, untilMs: nowMs + limits.offerWithinMs });
      return true;
    },
    accepted: (job, nowMs) => {
      const known = inHand.get(job);
      if (known !== undefined) inHand.set(job, { ...known, untilMs: nowMs + limits.claimWithinMs });
    },
    settled: drop,
    full: (gateway, untilMs) => fullUntilMs.set(gateway, untilMs),
    roomier: (gateway) => fullUntilMs.delete(gateway),
  };
}
