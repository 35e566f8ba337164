import { type Act, first, prepared, type Queries } from '../../act.ts';
import type { Database } from '../../schema.ts';

type LeaseKey = Pick<Database['work_lease'], 'instance' | 'lease'>;

const heldLease = prepared((db, of: LeaseKey) =>
  db
    .selectFrom('work_lease')
    .select('lease')
    .where('instance', '=', of.instance)
    .where('lease', '=', of.lease)
    .where('state', '=', 'held'),
);

const lockedLease = prepared((db, of: LeaseKey) =>
  db
    .updateTable('work_lease')
    .set((row) => ({ renewals: row('renewals', '+', 0) }))
    .where('instance', '=', of.instance)
    .where('lease', '=', of.lease)
    .where('state', '=', 'held')
    .returning('lease'),
);

/** The lease, held until this transaction ends. */
export function* holdsLease(q: Queries, instance: string, lease: number): Act<boolean> {
  const held = yield* first((q.engine === 'sqlite' ? heldLease : lockedLease)(q, { instance, lease }));
  return held !== undefined;
}
