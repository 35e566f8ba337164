import {
  type Candidate,
  type Decision,
  type InstanceId,
  type ItemUid,
  PamError,
  type StreamId,
} from '@sallyport/protocol';
import { beginProbe, standingOf } from './ejections.ts';
import { noteAsked } from './openings.ts';
import type { Member, Pool, RouterPools } from './pool-state.ts';
import { forgetOpening, slowStart } from './take-word.ts';

export interface RouteRequest {
  /** What is to be placed; null: nothing is noted, and no pair of instance and resource is looked at. */
  readonly of: { readonly stream: StreamId; readonly resource: ItemUid } | null;
  /** Instances already tried for this stream. */
  readonly not: readonly InstanceId[];
  readonly cause: Decision['cause'];
  /** Wall time, for the record. */
  readonly atMs: number;
  /** Streams at once on one instance that did not say its own limit; at it, the instance is passed over. */
  readonly streamLimit: number;
}

export interface Picked {
  readonly instance: InstanceId;
  readonly link: string;
  readonly epoch: number;
  /** It is let through to a pair that was ejected, to see whether it is well again. */
  readonly probe: boolean;
}

/**
 * One turn of the loop, from memory only. Class 0 serves and is well; class 1 is ejected for this resource or warming
 * up; class 2 is suspect. A worse class is taken only when there is nobody better (I12). The cursor moves to what was
 * picked.
 *
 * @returns the decision, which replays by itself (`replayDecision`), and what to dispatch to; null when nobody may.
 */
export function route(
  state: RouterPools,
  pool: Pool,
  request: RouteRequest,
): { readonly decision: Decision; readonly picked: Picked | null } {
  const candidates = pool.ring.map((member): Candidate => {
    const excluded = exclusionOf(state, pool, member, request);
    const { instance, seq } = member.row;
    if (excluded !== null) return { instance, seq, class: null, excluded };
    const classed = state.rules.classOf(state, pool, member, request);
    return classed === best ? { instance, seq, class: 0, excluded } : { instance, seq, ...classed, excluded };
  });
  const cursorBefore = pool.cursor;
  const turn = state.rules.nextTurn(candidates, cursorBefore);
  const member = turn === null ? undefined : pool.members.get(turn.instance);
  const decision: Decision = {
    atMs: request.atMs,
    cursorBefore,
    candidates,
    pick: turn?.instance ?? null,
    cause: request.cause,
  };
  const link = member === undefined ? null : state.rules.dispatchLink(pool, member);
  if (turn === null || member === undefined || link === null) return { decision, picked: null };
  pool.cursor = member.row.seq;
  const probe = give(state, pool, member, turn, request);
  return { decision, picked: { instance: member.row.instance, link, epoch: member.row.epoch, probe } };
}

/** Notes that the stream is on its way to `member`; answers whether it probes. */
function give(state: RouterPools, pool: Pool, member: Member, turn: Candidate, request: RouteRequest): boolean {
  if (request.of === null) return false;
  const { stream, resource } = request.of;
  const { instance } = member.row;
  const { judgeMs } = state;
  member.openings += 1;
  const forgotten = noteAsked(pool.openings, stream, { resource, instance, judgeMs });
  if (forgotten !== null) forgetOpening(pool, forgotten);
  if (turn.class !== 0 || standingOf(pool.ejections, instance, resource, judgeMs).kind !== 'due') return false;
  beginProbe(pool.ejections, instance, resource, stream, judgeMs);
  return true;
}

const best = { class: 0 } as const;

/** Class of a member that is not excluded, with its reason when it is not plainly the best. */
export function classOf(
  state: RouterPools,
  pool: Pool,
  member: Member,
  request: RouteRequest,
): Pick<Candidate, 'class' | 'note' | 'untilMs'> {
  if (member.health === 'suspect') return { class: 2, note: 'suspect' };
  const pair = standingOf(pool.ejections, member.row.instance, request.of?.resource ?? null, state.judgeMs);
  if (pair.kind === 'ejected') {
    const untilMs = request.atMs + Math.round(pair.untilMs - state.judgeMs);
    return { class: 1, note: `ejected: could not reach this resource (${pair.times} in a row)`, untilMs };
  }
  if (pair.kind === 'probing') return { class: 1, note: 'ejected: being probed by another stream' };
  // Who was failed once is not sent to a place that is likely to fail.
  if (pair.kind === 'due' && request.cause !== 'first') return { class: 1, note: 'ejected: to be probed' };
  if (member.warmth < slowStart.warm && member.openings >= member.warmth) {
    return { class: 1, note: `warming up: ${member.openings} streams are opening there` };
  }
  return pair.kind === 'due' ? { class: 0, note: 'ejected: may be probed' } : best;
}

/** Why a slot's holder cannot be picked; null when it can. */
function exclusionOf(state: RouterPools, pool: Pool, member: Member, request: RouteRequest): string | null {
  if (member.row.intent.kind === 'drain') return 'draining';
  if (member.row.intent.kind === 'cordon') return 'cordoned';
  if (member.leaving) return 'leaving';
  if (state.rules.dispatchLink(pool, member) === null) return 'absent';
  if (member.promoteByMs !== null) return 'promotion not acknowledged';
  const limit = member.maxStreams ?? request.streamLimit;
  if (member.streams >= limit) return `session limit: runs ${member.streams} of ${limit} streams`;
  if (request.not.includes(member.row.instance)) return 'tried before';
  return null;
}

/** What to answer when nobody could be picked: every member with its reason. */
export function noReadyInstance(decision: Decision): PamError {
  const shown = decision.candidates.slice(0, 10).map((c) => `${c.instance} ${c.excluded ?? 'ready'}`);
  const more = decision.candidates.length - shown.length;
  const reasons =
    shown.length === 0 ? 'no instance is admitted' : shown.join(', ') + (more > 0 ? ` and ${more} more` : '');
  return new PamError('PAM_POOL_NO_READY_INSTANCE', `no instance can take the request: ${reasons}`);
}
