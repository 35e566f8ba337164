import type { GatewayUid } from '@sallyport/protocol';
import type { MemberRow } from '../../pool/index.ts';
import type { Queries } from '../act.ts';

/**
 * Members of pools as the last deciding transaction left them, so that the next one need not read its whole pool: 1,000
 * joins of one pool read, parsed and threw away a million rows.
 *
 * M1 only on SQLite, whose file one process owns: on PostgreSQL another router may have decided meanwhile.
 * M2 kept under the version that the transaction gave the pool, and good only for the very next one. Whoever decides takes
 *    them out first, so that what a transaction left that was rolled back is met by the next with too high a version.
 */
interface Kept {
  readonly version: number;
  readonly members: readonly MemberRow[];
}

/** Pools kept; the one that was decided about longest ago goes first. */
const poolsKept = 1_000;
const byEngine = new WeakMap<Queries, Map<GatewayUid, Kept>>();

/** @param version - the pool's, after the lock raised it by one. */
export function takeMembers(q: Queries, gateway: GatewayUid, version: number): readonly MemberRow[] | null {
  const pools = byEngine.get(q);
  const kept = pools?.get(gateway);
  pools?.delete(gateway);
  return kept?.version === version - 1 ? kept.members : null;
}

/** @param members - the listed ones in order of seq, as they will be once the transaction commits. */
export function keepMembers(q: Queries, gateway: GatewayUid, version: number, members: readonly MemberRow[]): void {
  if (q.engine !== 'sqlite' || !q.locks) return;
  const pools = byEngine.get(q) ?? new Map<GatewayUid, Kept>();
  byEngine.set(q, pools);
  pools.set(gateway, { version, members });
  const [oldest] = pools.size > poolsKept ? pools.keys() : [];
  if (oldest !== undefined) pools.delete(oldest);
}
