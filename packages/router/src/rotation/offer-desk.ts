import type { GatewayUid, JobId } from '@sallyport/protocol';

/**
 * Jobs that are on their way to an instance, in memory only: the claim in the store is what counts.
 *
 * Stages of a job here: taken → accepted (its claim is awaited) → settled. One that is accepted and not claimed within
 * `claimWithinMs` is offered again.
 *
 * A gateway whose instances all refused is counted from then on: one offer for each job that made room, so that of a long
 * queue each is read, sent and refused about once. Room that nobody told of (an instance that joined) is found by a try every
 * `tryEveryMs`; one that is taken allows two more.
 */
export interface OfferDesk {
  /** Jobs of it to look at: those in hand, and as many as may be offered now; null: none may. */
  wanted(gateway: GatewayUid, nowMs: number): number | null;
  /** May it be offered now? Takes it if so. */
  take(job: JobId, gateway: GatewayUid, nowMs: number): boolean;
  accepted(job: JobId, nowMs: number): void;
  /** Claimed, refused, or ended. */
  settled(job: JobId): void;
  /** Everybody is busy, or nobody is there. */
  full(gateway: GatewayUid, nowMs: number): void;
  /** A job of it ended, or was not begun. */
  roomier(gateway: GatewayUid): void;
}

interface InHand {
  readonly gateway: GatewayUid;
  readonly untilMs: number;
  readonly isTry: boolean;
}

/** What is known of the room of a gateway that was full once. */
interface Room {
  readonly told: number;
  readonly tries: number;
  readonly nextTryMs: number;
}

export function createOfferDesk(limits: {
  /** Offers of one gateway under way at once. */
  readonly atOnce: number;
  readonly offerWithinMs: number;
  readonly claimWithinMs: number;
  readonly tryEveryMs: number;
}): OfferDesk {
  const inHand = new Map<JobId, InHand>();
  const counts = new Map<GatewayUid, number>();
  const rooms = new Map<GatewayUid, Room>();

  function drop(job: JobId): void {
    const known = inHand.get(job);
    if (known === undefined) return;
    inHand.delete(job);
    const left = (counts.get(known.gateway) ?? 1) - 1;
    if (left > 0) counts.set(known.gateway, left);
    else counts.delete(known.gateway);
  }

  /** Uses up some room; null when there is none. */
  function enter(gateway: GatewayUid, nowMs: number): { readonly isTry: boolean } | null {
    const room = rooms.get(gateway);
    if (room === undefined) return { isTry: false };
    if (room.told > 0) {
      rooms.set(gateway, { ...room, told: room.told - 1 });
      return { isTry: false };
    }
    if (room.tries === 0 && nowMs < room.nextTryMs) return null;
    rooms.set(gateway, { ...room, tries: Math.max(0, room.tries - 1), nextTryMs: nowMs + limits.tryEveryMs });
    return { isTry: true };
  }

  return {
    wanted: (gateway, nowMs) => {
      const [now, room] = [counts.get(gateway) ?? 0, rooms.get(gateway)];
      if (now >= limits.atOnce) return null;
      if (room === undefined) return limits.atOnce;
      const more = room.told + Math.max(room.tries, nowMs < room.nextTryMs ? 0 : 1);
      return more === 0 ? null : Math.min(limits.atOnce, now + more);
    },
    take: (job, gateway, nowMs) => {
      const known = inHand.get(job);
      if (known !== undefined && known.untilMs > nowMs) return false;
      if (known !== undefined) drop(job);
      const now = counts.get(gateway) ?? 0;
      if (now >= limits.atOnce) return false;
      const entered = enter(gateway, nowMs);
      if (entered === null) return false;
      counts.set(gateway, now + 1);
      inHand.set(job, { gateway, untilMs: nowMs + limits.offerWithinMs, ...entered });
      return true;
    },
    accepted: (job, nowMs) => {
      const known = inHand.get(job);
      if (known === undefined) return;
      inHand.set(job, { ...known, untilMs: nowMs + limits.claimWithinMs, isTry: false });
      const room = rooms.get(known.gateway);
      if (!known.isTry || room === undefined) return;
      rooms.set(known.gateway, { ...room, tries: Math.min(limits.atOnce, room.tries + 2) });
    },
    settled: drop,
    full: (gateway, nowMs) => {
      const told = rooms.get(gateway)?.told ?? 0;
      rooms.set(gateway, { told, tries: 0, nextTryMs: nowMs + limits.tryEveryMs });
    },
    roomier: (gateway) => {
      const room = rooms.get(gateway);
      if (room !== undefined) rooms.set(gateway, { ...room, told: Math.min(limits.atOnce, room.told + 1) });
    },
  };
}
