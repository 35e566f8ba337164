import type { GatewayUid, InstanceId, InstanceView } from '@sallyport/protocol';
import type { Condition } from './alert.ts';

/** A pool as lists show it. */
export interface WatchedPool {
  readonly gateway: { readonly uid: GatewayUid; readonly maxInstances: number; readonly everConnected: boolean };
  readonly instances: readonly InstanceView[];
}

const isAway = (instance: InstanceView): boolean => instance.health === 'absent';
const isLate = (instance: InstanceView): boolean => instance.health !== 'ok';

/**
 * What is wrong with the pools now. A gateway that never had an instance is not offline, and the members of one that is
 * offline are not told one by one. Pure.
 */
export function conditionsOf(pools: readonly WatchedPool[]): readonly Condition[] {
  return pools.flatMap((pool) => {
    const members = pool.instances.filter(({ state }) => state !== 'standby');
    const offline = offlineOf(pool, members);
    return [
      ...(offline === null ? members.flatMap((each) => suspectOf(pool, each)) : [offline]),
      ...limitsOf(pool, members),
    ];
  });
}

/** Is what this condition is about still there? */
export function isThere(pools: readonly WatchedPool[], { gateway, instance }: Condition): boolean {
  if (gateway === null) return true;
  const pool = pools.find((each) => each.gateway.uid === gateway);
  return pool !== undefined && (instance === null || pool.instances.some(({ instanceId }) => instanceId === instance));
}

function offlineOf({ gateway }: WatchedPool, members: readonly InstanceView[]): Condition | null {
  if (!gateway.everConnected || !members.every(isAway)) return null;
  const lost = members.length === 0 ? 'it has no instance' : `none of its ${members.length} instances answers`;
  return {
    kind: 'gateway-offline',
    gateway: gateway.uid,
    instance: null,
    summary: `gateway ${gateway.uid} is offline: ${lost}`,
    detail: { maximum: gateway.maxInstances, absent: members.length },
  };
}

function suspectOf({ gateway }: WatchedPool, member: InstanceView): readonly Condition[] {
  if (!isLate(member)) return [];
  const why = isAway(member) ? 'its link is lost' : 'its beats are late';
  return [
    {
      kind: 'member-suspect',
      gateway: gateway.uid,
      instance: member.instanceId as InstanceId,
      summary: `instance ${member.instanceId} of gateway ${gateway.uid} is suspect: ${why}`,
      detail: { health: member.health, streams: member.streams },
    },
  ];
}

function limitsOf({ gateway, instances }: WatchedPool, members: readonly InstanceView[]): readonly Condition[] {
  const waiting = instances.filter((each) => each.state === 'standby' && !isAway(each)).length;
  const detail = { maximum: gateway.maxInstances, members: members.length, standbys: waiting };
  const of = { gateway: gateway.uid, instance: null, detail };
  // One that drains and lets its replacement in before it left is no surplus.
  const replaced = members.filter(({ drain }) => drain?.replace === true).length;
  if (members.length - replaced > gateway.maxInstances) {
    const summary = `gateway ${gateway.uid} is over its limit: ${members.length} members, maximum ${gateway.maxInstances}`;
    return [{ kind: 'gateway-over-limit', summary, ...of }];
  }
  if (members.length < gateway.maxInstances || waiting === 0) return [];
  const summary = `the pool of gateway ${gateway.uid} is full (${members.length} of ${gateway.maxInstances}) and ${waiting} wait`;
  return [{ kind: 'pool-full', summary, ...of }];
}
