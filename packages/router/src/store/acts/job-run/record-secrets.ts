import { sql } from 'kysely';
import { type Act, first, prepared, type Queries } from '../../act.ts';

type Secrets = { readonly rev: number; readonly gen: number; readonly envelope: string };

const liveItem = prepared((db, of: { uid: string }) =>
  db.selectFrom('item').select('uid').where('uid', '=', of.uid).where('removed_ms', 'is', null),
);

const lockedItem = prepared((db, of: { uid: string }) =>
  db
    .updateTable('item')
    .set((row) => ({ modified_ms: row('modified_ms', '+', 0) }))
    .where('uid', '=', of.uid)
    .where('removed_ms', 'is', null)
    .returning('uid'),
);

const newestSecrets = prepared((db, of: { uid: string }) =>
  db
    .selectFrom('item_part')
    .select(['rev', 'gen', 'envelope'])
    .where('uid', '=', of.uid)
    .where('part', '=', 'secrets')
    .where('newest', '=', sql.lit(1)),
);

/** The newest secrets of a live record; null when it is gone, of revision 0 when it has none. */
export function* secretsOf(q: Queries, record: string): Act<Secrets | null> {
  // The item's row is locked as whoever writes it locks it: what is read here is what is written over, or not.
  const live = yield* first((q.engine === 'sqlite' ? liveItem : lockedItem)(q, { uid: record }));
  if (live === undefined) return null;
  return (yield* first(newestSecrets(q, { uid: record }))) ?? { rev: 0, gen: 0, envelope: '' };
}
