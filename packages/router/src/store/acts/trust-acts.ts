import { type Head, PamError } from '@sallyport/protocol';
import type { TrustStore } from '../../trust/index.ts';
import { restoreActs } from './restore-acts.ts';
import { type Act, type ActsOf, all, first, type Queries, run } from '../act.ts';

function* readHead(q: Queries): Act<Head | null> {
  const row = yield* first(q.db.selectFrom('log_entry').select(['n', 'hash']).orderBy('n', 'desc').limit(1));
  return row ?? null;
}

function moved(head: Head | null): PamError {
  const at = head === null ? 'empty' : `at entry ${head.n}`;
  return new PamError('PAM_TRUST_LOG_MOVED', `the trust log is ${at}; another entry was appended first`);
}

export const trustActs: ActsOf<TrustStore> = {
  ...restoreActs,

  *appendEntries(q, input) {
    let next = input.expected === null ? 0 : input.expected.n + 1;
    for (const row of input.entries) {
      if (row.n !== next++) throw new PamError('PAM_BAD_REQUEST', `entry ${row.n} does not follow entry ${next - 2}`);
    }
    const head = yield* readHead(q);
    if (head?.n !== input.expected?.n || head?.hash !== input.expected?.hash) throw moved(head);
    for (const row of input.entries) {
      // Two appends at once on PostgreSQL: the second waits here, then finds the number taken.
      const added = yield* run(
        q.db
          .insertInto('log_entry')
          .values({ n: row.n, hash: row.hash, entry: row.entry, at_ms: input.nowMs })
          .onConflict((on) => on.doNothing()),
      );
      if (added === 0) throw moved(yield* readHead(q));
    }
    const last = input.entries.at(-1) ?? input.expected;
    if (last === null) throw new PamError('PAM_BAD_REQUEST', 'there is no entry to append');
    return { n: last.n, hash: last.hash };
  },

  *headOfLog(q) {
    return yield* readHead(q);
  },

  *listEntries(q, input) {
    return yield* all(
      q.db
        .selectFrom('log_entry')
        .select(['n', 'hash', 'entry'])
        .where('n', '>=', input.from)
        .orderBy('n')
        .limit(input.limit),
    );
  },
};
