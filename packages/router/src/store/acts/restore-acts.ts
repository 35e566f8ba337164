import {
  markedMembers,
  readRestoreMark,
  type RestoreMark,
  restoreSettings,
  type LogRow,
  type TrustStore,
} from '../../trust/index.ts';
import { type Act, type ActsOf, all, first, type Queries, run } from '../act.ts';
import { bumpIncarnation } from '../migrations.ts';

function* readSetting(q: Queries, key: string): Act<string | null> {
  return (yield* first(q.db.selectFrom('setting').select('value').where('key', '=', key)))?.value ?? null;
}

function* writeSetting(q: Queries, key: string, value: string): Act<void> {
  yield* run(
    q.db
      .insertInto('setting')
      .values({ key, value })
      .onConflict((on) => on.column('key').doUpdateSet({ value })),
  );
}

/** Entries of a replaced store's log that are kept. */
const mostKept = 20_000;

/** Number of the last start of a router on this store; 0 before the first. */
function* readLastStart(q: Queries): Act<number> {
  return Number((yield* readSetting(q, 'last-start')) ?? '0');
}

function nameIn(host: string): string {
  const named: unknown = JSON.parse(host);
  const name: unknown = typeof named === 'object' && named !== null ? Reflect.get(named, 'deviceName') : '';
  return typeof name === 'string' ? name.slice(0, 255) : '';
}

/** Those of the trust log's methods that are for a store whose router does not run. */
export const restoreActs: Pick<ActsOf<TrustStore>, 'markRestored' | 'reopenStore' | 'readReplaced'> = {
  *markRestored(q, { replaced, nowMs }) {
    let incarnation = yield* bumpIncarnation(q);
    // Above the store that is replaced too: it may have been restored before, after this backup was made.
    while (incarnation <= replaced.incarnation) incarnation = yield* bumpIncarnation(q);
    const lastStart = Math.max(yield* readLastStart(q), replaced.lastStart, nowMs);
    yield* writeSetting(q, 'last-start', String(lastStart));
    const before = yield* first(q.db.selectFrom('log_entry').select(['n', 'hash']).orderBy('n', 'desc').limit(1));
    if (before === undefined) return incarnation;
    const members = yield* all(
      q.db
        .selectFrom('instance')
        .select(['gateway', 'id', 'host'])
        .where('membership', '!=', 'gone')
        .orderBy('gateway')
        .limit(markedMembers),
    );
    const mark = {
      incarnation,
      atMs: nowMs,
      before: { n: before.n, hash: before.hash },
      lastStart,
      members: members.map(({ gateway, id, host }) => ({ gateway, instance: id, deviceName: nameIn(host) })),
      closed: true,
    };
    yield* writeSetting(q, restoreSettings.mark, JSON.stringify(mark));
    yield* writeSetting(q, restoreSettings.entries, entriesText(before, replaced.entries));
    return incarnation;
  },

  *reopenStore(q) {
    const mark: RestoreMark | null = readRestoreMark(yield* readSetting(q, restoreSettings.mark));
    if (mark?.closed !== true) return false;
    yield* writeSetting(q, restoreSettings.mark, JSON.stringify({ ...mark, closed: false }));
    return true;
  },

  *readReplaced(q, { after }) {
    const incarnation = yield* readSetting(q, 'incarnation');
    const lastStart = yield* readLastStart(q);
    const rows = yield* all(
      q.db.selectFrom('log_entry').select(['n', 'hash', 'entry']).where('n', '>=', after).orderBy('n').limit(mostKept),
    );
    return { incarnation: Number(incarnation ?? '1'), lastStart, entries: rows };
  },
};

/** What the replaced log had more, for the next start to verify and take; nothing when it was another log. */
function entriesText(head: { readonly n: number; readonly hash: string }, rows: readonly LogRow[]): string {
  const at = rows.findIndex(({ n, hash }) => n === head.n && hash === head.hash);
  const more = at < 0 ? [] : rows.slice(at + 1);
  return more.length === 0 ? '' : JSON.stringify(more.map(({ entry }) => entry));
}
