/**
 * Work leases as a claimant sees them. Rows hold no time: whoever wants to give a lease away must have seen the same
 * lease with the same number of renewals for W, on its own monotonic clock, while it ran and could read the store.
 */
export interface LeaseWatch {
  readonly atMs: number | null;
  readonly seen: ReadonlyMap<string, SeenLease>;
}

/** A row of the store. */
export interface LeaseRow {
  readonly instance: string;
  readonly lease: number;
  readonly renewals: number;
}
interface SeenLease extends LeaseRow {
  readonly unchangedMs: number;
}

export function beginLeaseWatch(): LeaseWatch {
  return { atMs: null, seen: new Map() };
}

/**
 * @param rows - every held lease, read now; null: the store could not be read. Then all that was seen counts for nothing:
 *   renewals could not be written either, which is the holders' grace.
 * @param nowMs - monotonic.
 * @param rules.leaseMs - W.
 * @param rules.gapMs - a longer time between two looks is a pause of the judge; only so much of it counts (I7).
 * @returns `over`: leases to be given away by compare-and-set on (lease, renewals).
 */
export function observeLeases<Row extends LeaseRow>(
  watch: LeaseWatch,
  rows: readonly Row[] | null,
  nowMs: number,
  rules: { readonly leaseMs: number; readonly gapMs: number },
): { readonly watch: LeaseWatch; readonly over: readonly Row[] } {
  if (rows === null) return { watch: beginLeaseWatch(), over: [] };
  const passed = watch.atMs === null ? 0 : Math.min(Math.max(0, nowMs - watch.atMs), rules.gapMs);
  const seen = new Map<string, SeenLease>();
  const over: Row[] = [];
  for (const row of rows) {
    const before = watch.seen.get(row.instance);
    const isSame = before?.lease === row.lease && before.renewals === row.renewals;
    const unchangedMs = isSame ? before.unchangedMs + passed : 0;
    seen.set(row.instance, { instance: row.instance, lease: row.lease, renewals: row.renewals, unchangedMs });
    if (unchangedMs >= rules.leaseMs) over.push(row);
  }
  return { watch: { atMs: nowMs, seen }, over };
}
