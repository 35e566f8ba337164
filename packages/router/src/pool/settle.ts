import type { InstanceId } from '@sallyport/protocol';
import { isReplaced } from './pool-rows.ts';
import { type Member, type Pool, type PoolEffect, type RouterPools, refOf } from './pool-state.ts';
import { limits } from './silence.ts';

/** Asks the store for the next move that is due, if any: one at a time for a pool. */
export function settle(state: RouterPools, pool: Pool, effects: PoolEffect[]): void {
  if (pool.busy || state.judgeMs < pool.restUntilMs) return;
  const gone: Member[] = [];
  const lost: Member[] = [];
  const absent: Member[] = [];
  const joining = joiningIn(pool);
  for (const member of pool.members.values()) {
    if (member.promoteByMs === null && member.health !== 'absent') continue;
    // Whoever is saying hello is alive, and the answer on its way may already have changed its row.
    if (joining.has(member.row.instance)) continue;
    if (member.promoteByMs !== null && state.judgeMs >= member.promoteByMs) {
      return ask(pool, effects, { method: 'demote', member: refOf(member.row) });
    }
    if (member.health !== 'absent') continue;
    const past = state.judgeMs >= member.reserveUntilMs;
    if (member.row.membership === 'standby') {
      if (past) gone.push(member);
    } else if (state.judgeMs >= member.absentSinceMs + state.timing.unwantedMs) lost.push(member);
    else if (past && member.row.membership === 'slot' && !isReplaced(member.row)) absent.push(member);
  }
  if (lost.length > 0) {
    for (const member of lost) effects.push({ kind: 'lost', gateway: pool.uid, instance: member.row.instance });
    return ask(pool, effects, { method: 'leave', members: lost.map((m) => refOf(m.row)), reason: 'lost' });
  }
  if (gone.length > 0) {
    return ask(pool, effects, { method: 'leave', members: gone.map((m) => refOf(m.row)), reason: 'link-closed' });
  }
  const free = roomOf(pool) - pool.ring.length;
  if (free <= 0 && (absent.length === 0 || free < 0)) return;
  const waiting = waitingIn(state, pool);
  if (waiting.length === 0) return;
  if (absent.length === 0 || free >= waiting.length) return ask(pool, effects, { method: 'fill', waiting });
  absent.sort((a, b) => a.absentSinceMs - b.absentSinceMs);
  ask(pool, effects, { method: 'reclaim', absent: absent.map((m) => refOf(m.row)), waiting });
}

/** How many slots there may be now; the store counts for itself. */
export function roomOf(pool: Pool): number {
  let room = pool.gateway.maxInstances;
  for (const member of pool.ring) if (isReplaced(member.row)) room += 1;
  return room;
}

function ask(pool: Pool, effects: PoolEffect[], op: (PoolEffect & { kind: 'store' })['op']): void {
  pool.busy = true;
  effects.push({ kind: 'store', gateway: pool.uid, op });
}

const nobody: ReadonlySet<InstanceId> = new Set();

/** A set, because a thousand may be joining a pool of a thousand: after a restart, all of them at once. */
function joiningIn(pool: Pool): ReadonlySet<InstanceId> {
  if (pool.joining.size === 0) return nobody;
  const instances = new Set<InstanceId>();
  for (const joining of pool.joining.values()) if (!joining.closed) instances.add(joining.hello.instance);
  return instances;
}

/** Who may be promoted now: in line, serving, heard within S. */
function waitingIn(state: RouterPools, pool: Pool): readonly InstanceId[] {
  const { suspectMs } = limits(state);
  const waiting: Member[] = [];
  for (const member of pool.members.values()) {
    if (member.row.membership !== 'standby' || member.row.intent.kind !== 'serve') continue;
    if (member.link === null || member.leaving || state.judgeMs - member.link.heardAtMs >= suspectMs) continue;
    waiting.push(member);
  }
  return waiting.sort((a, b) => a.row.seq - b.row.seq).map((member) => member.row.instance);
}
