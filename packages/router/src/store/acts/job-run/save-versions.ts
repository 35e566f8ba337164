import { PamError } from '@sallyport/protocol';
import type { VersionRow } from '@sallyport/rotation';
import type { Selectable } from 'kysely';
import { type Act, prepared, type Queries, run } from '../../act.ts';
import type { Database } from '../../schema.ts';

const markVersion = prepared((db, of: { account: string; n: number; state: string }) =>
  db.updateTable('account_version').set({ state: of.state }).where('account', '=', of.account).where('n', '=', of.n),
);

const putVersion = prepared((db, row: Omit<Selectable<Database['account_version']>, 'source'>) =>
  db.insertInto('account_version').values({
    ...{ account: row.account, n: row.n, job: row.job, rev: row.rev, gen: row.gen, envelope: row.envelope },
    ...{ state: row.state, at_ms: row.at_ms, source: null },
  }),
);

/** Stores what a decision changed of versions. `sealed`: of the one it made. */
export function* saveVersions(
  q: Queries,
  before: readonly VersionRow[],
  after: readonly VersionRow[],
  sealed?: { readonly gen: number; readonly envelope: string },
): Act<void> {
  if (before === after) return;
  for (const version of after) {
    const known = before.find((each) => each.n === version.n);
    if (known === version) continue;
    const { account, n, job, rev, state, atMs } = version;
    if (known !== undefined) {
      yield* run(markVersion(q, { account, n, state }));
      continue;
    }
    if (sealed === undefined) throw new PamError('PAM_INTERNAL', 'a version was made and has no envelope');
    yield* run(putVersion(q, { account, n, job, rev, state, at_ms: atMs, ...sealed }));
  }
}
