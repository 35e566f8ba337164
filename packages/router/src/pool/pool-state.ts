import type { GatewayUid, InstanceId, ItemUid, StreamId } from '@sallyport/protocol';
import type { AdmissionOutcome, Join } from './decide-admission.ts';
import type { Ejections } from './ejections.ts';
import type { News } from './held-news.ts';
import type { GatewayRow, GoneReason, Intent, MemberRow, PoolDelta, PoolSnapshot } from './member.ts';
import type { Openings } from './openings.ts';
import type { MemberRef } from './pool-store.ts';
import { type PoolRules, productionRules } from './rules.ts';
import type { PoolTiming, ToldBeat } from './timing.ts';

/**
 * What one router knows of its pools: the rows of the store at a version, and register 3 (health), which is its own.
 *
 * Times are of the *judge's clock* (`judgeMs`): it runs only while this router runs, so that no silence is counted over
 * a time in which nobody listened (I7). The state belongs to one owner and is changed in place by `step`: a copy at
 * each beat would cost the simulation its speed (ADR 0005).
 */
export interface RouterPools {
  readonly timing: PoolTiming;
  readonly rules: PoolRules;
  readonly pools: Map<GatewayUid, Pool>;
  readonly links: Map<string, Link>;
  /** UIDs are never used again: what arrives late about these is dropped. */
  readonly removed: Set<GatewayUid>;
  judgeMs: number;
  /** The beat of this router's links, and S and G with it (timing.ts). */
  told: ToldBeat;
  /** Judge time before which a tick finds nothing to do; 0: it may. */
  lookAtMs: number;
  /** Monotonic time of the last event. */
  seenAtMs: number;
  /** Judge times of recent closes of links, oldest first. */
  closes: number[];
  /** RG of this router's start: members that it read from the store are on their way until then. */
  startUntilMs: number;
  /** Members that go absent before this time keep their places until it. */
  graceUntilMs: number;
  /** The loss of most links that `graceUntilMs` stands for; null: none, or refuted. */
  massLoss: MassLoss | null;
}

/** Over half of this router's links closed within S. `sinceMs`: the first of these closes, `untilMs`: the last. */
export interface MassLoss {
  readonly sinceMs: number;
  readonly untilMs: number;
}

export interface Pool {
  readonly uid: GatewayUid;
  gateway: GatewayRow;
  readonly members: Map<InstanceId, Member>;
  /** Slots in order of seq. */
  ring: readonly Member[];
  /** seq of the last pick, -1 at first. Never an index (F16). */
  cursor: number;
  readonly joining: Map<string, Joining>;
  /** One maintenance transaction at a time. */
  busy: boolean;
  /** After a failed one, or a failed read, not before this time. */
  restUntilMs: number;
  /** Answers that came before one they follow on, and whether the pool is being read for them. */
  readonly held: News[];
  reading: boolean;
  readonly openings: Openings;
  readonly ejections: Ejections;
  /** When both were last looked through for what is over. */
  sweptAtMs: number;
}

type Health = 'ok' | 'suspect' | 'absent';

export interface Member {
  row: MemberRow;
  link: Link | null;
  health: Health;
  /** Since when it is absent; only meaningful then. */
  absentSinceMs: number;
  /** Its slot or place is not given away before. */
  reserveUntilMs: number;
  /** Proved beats on time since it became suspect. */
  beatsOnTime: number;
  /** A promotion it was told and must acknowledge before this time. */
  promoteByMs: number | null;
  /** It said `bye`: no new work. */
  leaving: boolean;
  /** Streams that run or were accepted there, and how many it runs at most; null: it did not say. */
  streams: number;
  maxStreams: number | null;
  /** Streams on their way to opening there, and how many there may be while it warms up. */
  openings: number;
  warmth: number;
  /** Wall time of the last proved beat. */
  heartbeatAtMs: number;
  /** Another process said hello with its identity while it answered: from where, and when last (wall time). */
  rival: { readonly from: string; readonly atMs: number } | null;
}

/** A control link whose admission is committed in the store; before that it is a `Joining` (F5). */
export interface Link {
  readonly id: string;
  readonly pool: Pool;
  readonly instance: InstanceId;
  readonly upSinceMs: number;
  /** Judge time of the last proved round trip. */
  heardAtMs: number;
  /** Number of the last pong that the instance said it heard. */
  heard: number;
}

export interface Hello extends Join {
  readonly link: string;
  /** Streams it runs at most; null: it did not say. */
  readonly maxStreams: number | null;
}

/** A hello on its way: the old link of the same identity is being watched, or the store decides. */
export interface Joining {
  readonly hello: Hello;
  stage: 'challenging' | 'admitting';
  challengeUntilMs: number;
  /** Its link closed meanwhile. */
  closed: boolean;
}

export type StoreOp =
  | { readonly method: 'fill'; readonly waiting: readonly InstanceId[] }
  | { readonly method: 'reclaim'; readonly absent: readonly MemberRef[]; readonly waiting: readonly InstanceId[] }
  | { readonly method: 'demote'; readonly member: MemberRef }
  | { readonly method: 'leave'; readonly members: readonly MemberRef[]; readonly reason: GoneReason };

export type PoolEvent =
  | { readonly kind: 'started'; readonly snapshots: readonly PoolSnapshot[] }
  | { readonly kind: 'hello'; readonly hello: Hello }
  | {
      readonly kind: 'admitted';
      readonly link: string;
      readonly gateway: GatewayUid;
      readonly outcome: AdmissionOutcome;
      readonly delta: PoolDelta;
    }
  | { readonly kind: 'admission-failed'; readonly link: string; readonly gateway: GatewayUid }
  | { readonly kind: 'closed'; readonly link: string }
  | { readonly kind: 'beat'; readonly link: string; readonly heard: number; readonly wallMs: number }
  | { readonly kind: 'hedged'; readonly gateway: GatewayUid; readonly instance: InstanceId; readonly epoch: number }
  | { readonly kind: 'acknowledged'; readonly link: string; readonly epoch: number }
  | { readonly kind: 'bye'; readonly link: string }
  | { readonly kind: 'snapshot'; readonly snapshot: PoolSnapshot }
  | { readonly kind: 'changed'; readonly gateway: GatewayUid; readonly delta: PoolDelta }
  /** What a `read` brought; null: the gateway was removed. */
  | { readonly kind: 'read'; readonly gateway: GatewayUid; readonly snapshot: PoolSnapshot | null }
  | { readonly kind: 'read-failed'; readonly gateway: GatewayUid }
  | { readonly kind: 'settled'; readonly gateway: GatewayUid; readonly delta: PoolDelta | null }
  | { readonly kind: 'settle-failed'; readonly gateway: GatewayUid }
  | { readonly kind: 'removed'; readonly gateway: GatewayUid }
  /** By the instance's signed word: it opened the stream, could not reach its target, or is done with it. */
  | (OfStream & { readonly kind: 'stream-opened' })
  | (OfStream & { readonly kind: 'stream-unreached' })
  | (OfStream & { readonly kind: 'stream-ended' })
  /** By the router's own: the pick came to nothing (refused, link closed, another was faster). */
  | (OfStream & { readonly kind: 'stream-released' })
  | { readonly kind: 'tick' };

export interface OfStream {
  readonly gateway: GatewayUid;
  readonly instance: InstanceId;
  readonly stream: StreamId;
  /** In [0, 1): spreads the time of an ejection. */
  readonly chance: number;
}

export type CutReason = 'silent' | 'taken-over' | 'gone' | 'revoked';

export type PoolEffect =
  | { readonly kind: 'admit'; readonly hello: Hello }
  | { readonly kind: 'store'; readonly gateway: GatewayUid; readonly op: StoreOp }
  /** An answer is missing: read the whole pool. */
  | { readonly kind: 'read'; readonly gateway: GatewayUid }
  | {
      readonly kind: 'welcome';
      readonly link: string;
      readonly outcome: AdmissionOutcome;
      readonly intent: Intent;
      readonly gateway: GatewayRow;
    }
  /** The same identity lives on another link. */
  | { readonly kind: 'refuse'; readonly link: string; readonly instance: InstanceId; readonly kept: string }
  | { readonly kind: 'tell'; readonly link: string; readonly member: MemberRow }
  /** Register 2 changed: told to the instance, which decides by its own clock (agent/drain-life of the gateway). */
  | { readonly kind: 'intend'; readonly link: string; readonly intent: Intent }
  | { readonly kind: 'cut'; readonly link: string; readonly why: CutReason }
  | { readonly kind: 'lost'; readonly gateway: GatewayUid; readonly instance: InstanceId }
  /** It cannot reach what another instance reaches: passed over for it, for the `times`th time in a row. */
  | {
      readonly kind: 'ejected';
      readonly gateway: GatewayUid;
      readonly instance: InstanceId;
      readonly resource: ItemUid;
      readonly times: number;
      readonly forMs: number;
    }
  | {
      readonly kind: 'returned';
      readonly gateway: GatewayUid;
      readonly instance: InstanceId;
      readonly resource: ItemUid;
    };

export function createPools(timing: PoolTiming, nowMs: number, rules: PoolRules = productionRules): RouterPools {
  return {
    timing,
    rules,
    pools: new Map(),
    links: new Map(),
    removed: new Set(),
    judgeMs: 0,
    told: { beatMs: timing.beatMs, atMs: 0 },
    lookAtMs: 0,
    seenAtMs: nowMs,
    closes: [],
    startUntilMs: 0,
    graceUntilMs: 0,
    massLoss: null,
  };
}

export function refOf(row: MemberRow): MemberRef {
  return { instance: row.instance, seq: row.seq, epoch: row.epoch, hellos: row.hellos };
}
