import { type Decision, type InstanceId, PamError } from '@sallyport/protocol';
import type { Member, Pool, RouterPools } from './pool-state.ts';
import { nextTurn } from './rules.ts';

export interface RouteRequest {
  /** Instances already tried for this stream. */
  readonly not: readonly InstanceId[];
  readonly cause: Decision['cause'];
  /** Wall time, for the record. */
  readonly atMs: number;
  /** Streams at once on one instance; at it, the instance is passed over. */
  readonly streamLimit: number;
}

export interface Picked {
  readonly instance: InstanceId;
  readonly link: string;
  readonly epoch: number;
}

/**
 * One turn of the loop, from memory only. Class 0 serves and is well, class 2 is suspect and taken only when there is
 * nobody else (I12; class 1, ejected, is for pairs of instance and target). The cursor moves to what was picked.
 *
 * @returns the decision, which replays by itself (`replayDecision`), and what to dispatch to; null when nobody may.
 */
export function route(
  state: RouterPools,
  pool: Pool,
  request: RouteRequest,
): { readonly decision: Decision; readonly picked: Picked | null } {
  const candidates = pool.ring.map((member) => {
    const excluded = exclusionOf(state, pool, member, request);
    const classOf = excluded !== null ? null : member.health === 'suspect' ? 2 : 0;
    return { instance: member.row.instance, seq: member.row.seq, class: classOf, excluded };
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
  if (member === undefined || link === null) return { decision, picked: null };
  pool.cursor = member.row.seq;
  return { decision, picked: { instance: member.row.instance, link, epoch: member.row.epoch } };
}

/** Why a slot's holder cannot be picked; null when it can. */
function exclusionOf(state: RouterPools, pool: Pool, member: Member, request: RouteRequest): string | null {
  if (member.row.intent.kind === 'drain') return 'draining';
  if (member.row.intent.kind === 'cordon') return 'cordoned';
  if (member.leaving) return 'leaving';
  if (state.rules.dispatchLink(pool, member) === null) return 'absent';
  if (member.promoteByMs !== null) return 'promotion not acknowledged';
  if (member.streams >= request.streamLimit) return 'session limit';
  if (request.not.includes(member.row.instance)) return 'tried before';
  return null;
}

/** The pick that the recorded candidates and cursor give; equal to `decision.pick` for every decision of ours. */
export function replayDecision(decision: Decision): InstanceId | null {
  return nextTurn(decision.candidates, decision.cursorBefore)?.instance ?? null;
}

/** What to answer when nobody could be picked: every member with its reason. */
export function noReadyInstance(decision: Decision): PamError {
  const shown = decision.candidates.slice(0, 10).map((c) => `${c.instance} ${c.excluded ?? 'ready'}`);
  const more = decision.candidates.length - shown.length;
  const reasons =
    shown.length === 0 ? 'no instance is admitted' : shown.join(', ') + (more > 0 ? ` and ${more} more` : '');
  return new PamError('PAM_POOL_NO_READY_INSTANCE', `no instance can take the request: ${reasons}`);
}
