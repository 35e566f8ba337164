import type { GatewayUid, InstanceId } from '@sallyport/protocol';
import { warmUp, goAbsent, cut } from './health.ts';
import { isListed, type MemberRow, type PoolDelta, type PoolSnapshot } from './member.ts';
import type { Member, Pool, PoolEffect, RouterPools } from './pool-state.ts';
import { forgetEvidenceOf, slowStart } from './take-word.ts';

/** The pool of a snapshot, made when it is new here. */
export function poolOf(state: RouterPools, snapshot: PoolSnapshot): Pool {
  const { uid } = snapshot.gateway;
  const known = state.pools.get(uid);
  if (known !== undefined) return known;
  const pool: Pool = {
    uid,
    gateway: { ...snapshot.gateway, version: -1 },
    members: new Map(),
    ring: [],
    cursor: -1,
    joining: new Map(),
    busy: false,
    restUntilMs: 0,
    held: [],
    reading: false,
    openings: new Map(),
    ejections: new Map(),
    sweptAtMs: 0,
  };
  state.pools.set(uid, pool);
  return pool;
}

/** Takes over rows unless newer ones are known, and tells members what changed for them. */
export function adopt(state: RouterPools, snapshot: PoolSnapshot, effects: PoolEffect[]): void {
  const pool = poolOf(state, snapshot);
  if (snapshot.gateway.version <= pool.gateway.version) return;
  pool.gateway = snapshot.gateway;
  const listed = new Set<InstanceId>();
  for (const row of snapshot.members) {
    listed.add(row.instance);
    const member = pool.members.get(row.instance);
    if (member === undefined) pool.members.set(row.instance, newMember(state, row));
    else changeRow(state, member, row, effects);
  }
  for (const [instance, member] of pool.members) {
    if (!listed.has(instance)) drop(state, pool, member, effects);
  }
  closeRing(pool);
}

/** The same with the rows that one transaction changed: all that was before it is known. */
export function adoptDelta(state: RouterPools, pool: Pool, delta: PoolDelta, effects: PoolEffect[]): void {
  if (delta.gateway.version <= pool.gateway.version) return;
  pool.gateway = delta.gateway;
  let isRingNew = false;
  for (const row of delta.changed) {
    const member = pool.members.get(row.instance);
    const before = member?.row;
    if (before?.membership !== row.membership || before.seq !== row.seq) isRingNew = true;
    if (!isListed(row)) {
      if (member !== undefined) drop(state, pool, member, effects);
    } else if (member === undefined) pool.members.set(row.instance, newMember(state, row));
    else changeRow(state, member, row, effects);
  }
  if (isRingNew) closeRing(pool);
}

/** A member whose row is no longer one of the pool's. */
function drop(state: RouterPools, pool: Pool, member: Member, effects: PoolEffect[]): void {
  pool.members.delete(member.row.instance);
  forgetEvidenceOf(pool, member.row.instance);
  // One that said bye closes its own link.
  if (member.leaving && member.link !== null) state.links.delete(member.link.id);
  else dismiss(state, member, effects);
}

function closeRing(pool: Pool): void {
  pool.ring = [...pool.members.values()]
    .filter((member) => member.row.membership === 'slot')
    .sort((a, b) => a.row.seq - b.row.seq);
}

function newMember(state: RouterPools, row: MemberRow): Member {
  const member: Member = {
    row,
    link: null,
    health: 'absent',
    absentSinceMs: state.judgeMs,
    reserveUntilMs: 0,
    beatsOnTime: 0,
    promoteByMs: null,
    leaving: false,
    streams: 0,
    maxStreams: null,
    openings: 0,
    warmth: slowStart.first,
    heartbeatAtMs: row.connectedAtMs,
    rival: null,
  };
  goAbsent(state, member, state.judgeMs + state.timing.reserveMs);
  return member;
}

function changeRow(state: RouterPools, member: Member, row: MemberRow, effects: PoolEffect[]): void {
  const before = member.row;
  member.row = row;
  const promoted = row.membership === 'slot' && (before.membership !== 'slot' || before.epoch !== row.epoch);
  if (promoted) {
    member.promoteByMs = state.judgeMs + state.timing.promoteMs;
    warmUp(member);
  } else if (row.membership !== 'slot') member.promoteByMs = null;
  if (row.membership === 'standby' && member.health === 'suspect') member.health = 'ok';
  if (member.link === null) return;
  const link = member.link.id;
  if (promoted || row.membership !== before.membership) effects.push({ kind: 'tell', link, member: row });
  if (!sameIntent(row, before)) effects.push({ kind: 'intend', link, intent: row.intent });
}

/** A standby whose row went while its link lives was drained: it is told, so that it ends and does not come back. */
function dismiss(state: RouterPools, member: Member, effects: PoolEffect[]): void {
  const { row, link } = member;
  if (link !== null && row.membership === 'standby') {
    effects.push({ kind: 'intend', link: link.id, intent: { kind: 'drain', by: 'operator', deadlineAtMs: 0 } });
  }
  cut(state, member, 'gone', effects);
}

function sameIntent(a: MemberRow, b: MemberRow): boolean {
  if (a.intent.kind === 'drain' && b.intent.kind === 'drain') return a.intent.deadlineAtMs === b.intent.deadlineAtMs;
  return a.intent.kind === b.intent.kind;
}

/** A gateway that is gone for good: its links are cut, and nothing brings it back. */
export function removed(state: RouterPools, gateway: GatewayUid, effects: PoolEffect[]): void {
  state.removed.add(gateway);
  const pool = state.pools.get(gateway);
  if (pool === undefined) return;
  for (const member of pool.members.values()) cut(state, member, 'revoked', effects);
  state.pools.delete(gateway);
}
