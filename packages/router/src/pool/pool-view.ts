import type { InstanceView } from '@sallyport/protocol';
import { standbyReason } from './decide-admission.ts';
import { countPairsOf } from './ejections.ts';
import type { GatewayRow } from './member.ts';
import type { Member, Pool } from './pool-state.ts';
import { isReplaced } from './pool-rows.ts';

/** A gateway with its instances as lists show them: slots, then the line. */
export interface PoolView {
  readonly gateway: GatewayRow;
  readonly instances: readonly InstanceView[];
  /** Pairs of instance and target that are passed over now (ejections.ts). */
  readonly ejectedPairs: number;
}

export function viewPool(pool: Pool): PoolView {
  const line = [...pool.members.values()]
    .filter((member) => member.row.membership === 'standby')
    .sort((a, b) => a.row.seq - b.row.seq);
  const room = pool.gateway.maxInstances + pool.ring.filter((member) => isReplaced(member.row)).length;
  return {
    gateway: pool.gateway,
    instances: [
      ...pool.ring.map((member) => viewMember(member, slotReason(pool, member))),
      ...line.map((member, ahead) =>
        viewMember(member, standbyReason(room, pool.ring.length, ahead, member.row.intent)),
      ),
    ],
    ejectedPairs: pool.ring.reduce((sum, { row }) => sum + countPairsOf(pool.ejections, row.instance), 0),
  };
}

/** One word for three registers: draining, else cordoned, else suspect (or absent), else ready. */
function stateOf(member: Member): InstanceView['state'] {
  if (member.row.membership !== 'slot') return 'standby';
  if (member.row.intent.kind === 'drain') return 'draining';
  if (member.row.intent.kind === 'cordon') return 'cordoned';
  return member.health === 'ok' ? 'ready' : 'suspect';
}

function slotReason(pool: Pool, member: Member): string {
  if (member.health === 'absent') return 'its link is lost; the slot is kept';
  if (member.health === 'suspect') return 'its beats are late';
  const ejected = countPairsOf(pool.ejections, member.row.instance);
  if (ejected > 0) return `cannot reach ${ejected} target${ejected === 1 ? '' : 's'} that others reach`;
  if (member.rival !== null) {
    const { from, atMs } = member.rival;
    return `another process used its identity, from ${from} at ${new Date(atMs).toISOString()}`;
  }
  return '';
}

function viewMember(member: Member, reason: string): InstanceView {
  const { row } = member;
  const { intent } = row;
  return {
    instanceId: row.instance,
    state: stateOf(member),
    health: member.health,
    reason,
    ...row.host,
    gatewayVersion: row.version,
    ipAddress: row.address,
    connectedOnMs: row.connectedAtMs,
    sinceMs: row.sinceAtMs,
    lastHeartbeatMs: member.heartbeatAtMs,
    streams: member.streams,
    maxStreams: member.maxStreams,
    drain:
      intent.kind === 'drain' ? { by: intent.by, deadlineAtMs: intent.deadlineAtMs, replace: isReplaced(row) } : null,
  };
}
