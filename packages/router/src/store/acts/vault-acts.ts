import {
  applicationUidSchema,
  envelopeSchema,
  generationSchema,
  hashSchema,
  type Item,
  itemTypeSchema,
  itemUidSchema,
  type KeyWrap,
  keyPartSchema,
  type Mirror,
  mirrorSchema,
  PamError,
  type Part,
  type PartEnvelope,
  partSchema,
  revisionSchema,
} from '@sallyport/protocol';
import { type Selectable, sql } from 'kysely';
import { z } from 'zod';
import type { VaultStore } from '../../vault/index.ts';
import { type Act, type ActsOf, all, first, prepared, type Queries, run } from '../act.ts';
import type { Database } from '../schema.ts';
import { dropSchedule, keepSchedule } from './schedule-acts.ts';
import { dropTrouble } from './trouble-acts.ts';

type ItemTuple = Selectable<Database['item']>;
type PartTuple = Selectable<Database['item_part']>;

/** A literal, so that both engines see that the partial index fits, and SQLite does not prepare anew each time. */
const isNewest = sql.lit(1);

const headSchema = z.object({ uid: itemUidSchema, app: applicationUidSchema, type: itemTypeSchema });
const versionSchema = z.object({
  part: partSchema,
  rev: revisionSchema,
  gen: generationSchema,
  envelope: envelopeSchema,
});
const wrapSchema = z.object({
  app: applicationUidSchema,
  part: keyPartSchema,
  gen: generationSchema,
  recipient: hashSchema,
  wrap: envelopeSchema,
});

function toItem(tuple: ItemTuple, parts: readonly PartTuple[]): Item {
  const sealed: Partial<Record<Part, PartEnvelope>> = {};
  for (const row of parts) {
    const { part, ...envelope } = versionSchema.parse(row);
    sealed[part] = envelope;
  }
  return {
    ...headSchema.parse(tuple),
    mirror: mirrorSchema.parse(JSON.parse(tuple.mirror)),
    createdAtMs: tuple.created_ms,
    modifiedAtMs: tuple.modified_ms,
    parts: sealed,
  };
}

export function* readItems(q: Queries, tuples: readonly ItemTuple[], only: readonly Part[]): Act<Item[]> {
  if (tuples.length === 0) return [];
  const uids = tuples.map((tuple) => tuple.uid);
  const rows = yield* all(
    q.db
      .selectFrom('item_part')
      .selectAll()
      .where('uid', 'in', uids)
      .where('part', 'in', [...only])
      .where('newest', '=', isNewest),
  );
  const byUid = Map.groupBy(rows, (row) => row.uid);
  return tuples.map((tuple) => toItem(tuple, byUid.get(tuple.uid) ?? []));
}

function linksOf(mirror: Mirror): readonly string[] {
  const links = [mirror.gateway, mirror.configuration, ...mirror.credentials];
  return [...new Set(links.filter((link) => link !== null))];
}

const newestRev = prepared((db, of: { uid: string; part: Part }) =>
  db
    .selectFrom('item_part')
    .select('rev')
    .where('uid', '=', of.uid)
    .where('part', '=', of.part)
    .where('newest', '=', isNewest),
);
const notNewest = prepared((db, of: { uid: string; part: Part }) =>
  db
    .updateTable('item_part')
    .set({ newest: 0 })
    .where('uid', '=', of.uid)
    .where('part', '=', of.part)
    .where('newest', '=', isNewest),
);
const putNewest = prepared((db, row: Omit<PartTuple, 'newest'>) =>
  db.insertInto('item_part').values({
    ...{ uid: row.uid, part: row.part, rev: row.rev, gen: row.gen, envelope: row.envelope },
    ...{ author: row.author, at_ms: row.at_ms, newest: 1 },
  }),
);

/** Appends one revision; it must be the next, of the stored one or of `above` when that is higher. */
export function* putPart(
  q: Queries,
  uid: string,
  part: Part,
  envelope: PartEnvelope,
  author: string,
  nowMs: number,
  above = 0,
): Act<void> {
  const current = yield* first(newestRev(q, { uid, part }));
  const stored = current?.rev ?? 0;
  if (envelope.rev !== Math.max(stored, above) + 1) {
    throw new PamError('PAM_CONFLICT', `${part} of ${uid} is at revision ${stored}, not ${envelope.rev - 1}`, {
      detail: { uid, part, stored, given: envelope.rev },
    });
  }
  yield* run(notNewest(q, { uid, part }));
  const { rev, gen, envelope: sealed } = envelope;
  yield* run(putNewest(q, { uid, part, rev, gen, envelope: sealed, author, at_ms: nowMs }));
}

/** Live items among `uids`, as rows. */
export function* liveItems(q: Queries, uids: readonly string[]): Act<ItemTuple[]> {
  if (uids.length === 0) return [];
  return yield* all(
    q.db
      .selectFrom('item')
      .selectAll()
      .where('uid', 'in', [...uids])
      .where('removed_ms', 'is', null)
      .orderBy('uid'),
  );
}

function* putHead(q: Queries, item: Parameters<VaultStore['putItems']>[0]['items'][number], nowMs: number): Act<void> {
  // Writing before reading makes two writers of one item wait for each other on PostgreSQL.
  const touched = yield* first(
    q.db
      .updateTable('item')
      .set({ modified_ms: nowMs, mirror: JSON.stringify(item.mirror) })
      .where('uid', '=', item.uid)
      .returningAll(),
  );
  if (touched === undefined) {
    const mirror = JSON.stringify(item.mirror);
    const { uid, app, type } = item;
    yield* run(
      q.db
        .insertInto('item')
        .values({ uid, app, type, mirror, created_ms: nowMs, modified_ms: nowMs, removed_ms: null }),
    );
  } else if (touched.removed_ms !== null) {
    throw new PamError('PAM_CONFLICT', `${item.uid} was removed; a UID is never used again`);
  } else if (touched.app !== item.app || touched.type !== item.type) {
    throw new PamError('PAM_CONFLICT', `${item.uid} is a ${touched.type} of another application; neither changes`);
  }
}

function* putLinks(q: Queries, item: Parameters<VaultStore['putItems']>[0]['items'][number]): Act<void> {
  const links = linksOf(item.mirror);
  const needed = item.type === 'application' ? links : [...new Set([item.app, ...links])];
  const present = new Map((yield* liveItems(q, needed)).map((row) => [row.uid, row]));
  const missing = needed.find((uid) => present.get(uid)?.app !== item.app);
  if (missing !== undefined) {
    throw new PamError('PAM_NOT_FOUND', `${item.uid} links to ${missing}, which is not in its application`, {
      detail: { uid: item.uid, missing },
    });
  }
  yield* run(q.db.deleteFrom('item_link').where('item', '=', item.uid));
  if (links.length === 0) return;
  yield* run(q.db.insertInto('item_link').values(links.map((target) => ({ item: item.uid, target }))));
}

function* dependants(q: Queries, uid: string): Act<string[]> {
  const linked = yield* all(
    q.db
      .selectFrom('item_link')
      .innerJoin('item', 'item.uid', 'item_link.item')
      .select('item.uid')
      .where('item_link.target', '=', uid)
      .where('item.removed_ms', 'is', null)
      .orderBy('item.uid'),
  );
  const inside = yield* all(
    q.db
      .selectFrom('item')
      .select('uid')
      .where('app', '=', uid)
      .where('uid', '<>', uid)
      .where('removed_ms', 'is', null)
      .orderBy('uid'),
  );
  return [...new Set([...linked, ...inside].map((row) => row.uid))];
}

export const allParts: readonly Part[] = ['facts', 'secrets', 'state'];

export const vaultActs: ActsOf<VaultStore> = {
  *putItems(q, input) {
    const inOrder = input.items.toSorted((a, b) => (a.uid < b.uid ? -1 : 1));
    for (const item of inOrder) yield* putHead(q, item, input.nowMs);
    for (const item of inOrder) {
      yield* putLinks(q, item);
      if (item.type === 'pamUser') yield* keepSchedule(q, item.uid, item.mirror, input.nowMs);
      for (const part of ['facts', 'secrets'] as const) {
        const envelope = item.parts[part];
        const above = part === 'facts' ? input.aboveFacts : 0;
        if (envelope !== undefined) yield* putPart(q, item.uid, part, envelope, input.author, input.nowMs, above);
      }
    }
    const rows = yield* liveItems(
      q,
      input.items.map((item) => item.uid),
    );
    const written = new Map((yield* readItems(q, rows, allParts)).map((item) => [item.uid, item]));
    return input.items.flatMap((item) => written.get(item.uid) ?? []);
  },

  *putState(q, input) {
    const touched = yield* run(
      q.db
        .updateTable('item')
        .set({ modified_ms: input.nowMs })
        .where('uid', '=', input.uid)
        .where('removed_ms', 'is', null),
    );
    if (touched === 0) throw new PamError('PAM_NOT_FOUND', `there is no item ${input.uid}`);
    yield* putPart(q, input.uid, 'state', input.state, input.author, input.nowMs);
  },

  *getItem(q, input) {
    const rows = yield* liveItems(q, [input.uid]);
    return (yield* readItems(q, rows, allParts))[0] ?? null;
  },

  *getItems(q, input) {
    return yield* readItems(q, yield* liveItems(q, input.uids), allParts);
  },

  *listItems(q, input) {
    let query = q.db.selectFrom('item').selectAll().where('removed_ms', 'is', null);
    if (input.app !== undefined) query = query.where('app', '=', input.app);
    if (input.types !== undefined) query = query.where('type', 'in', [...input.types]);
    if (input.after !== undefined) query = query.where('uid', '>', input.after);
    const rows = yield* all(query.orderBy('uid').limit(input.limit + 1));
    const page = rows.slice(0, input.limit);
    const items = yield* readItems(q, page, input.parts === 'all' ? allParts : ['facts']);
    return { items, more: rows.length > page.length };
  },

  *historyOf(q, input) {
    const rows = yield* all(
      q.db
        .selectFrom('item_part')
        .selectAll()
        .where('uid', '=', input.uid)
        .orderBy('at_ms', 'desc')
        .orderBy('part')
        .orderBy('rev', 'desc')
        .limit(200),
    );
    return rows.map((row) => ({ ...versionSchema.parse(row), author: row.author, atMs: row.at_ms }));
  },

  *removeItem(q, input) {
    const touched = yield* run(
      q.db
        .updateTable('item')
        .set({ removed_ms: input.nowMs })
        .where('uid', '=', input.uid)
        .where('removed_ms', 'is', null),
    );
    if (touched === 0) throw new PamError('PAM_NOT_FOUND', `there is no item ${input.uid}`);
    yield* dropSchedule(q, input.uid);
    yield* dropTrouble(q, input.uid);
    const depending = yield* dependants(q, input.uid);
    if (depending.length > 0) {
      throw new PamError('PAM_IN_USE', `${depending.length} items depend on ${input.uid}`, {
        detail: { dependants: depending.slice(0, 20).join(','), count: depending.length },
      });
    }
  },

  *putWraps(q, input) {
    for (const row of input.wraps) {
      yield* run(
        q.db
          .insertInto('key_wrap')
          .values(row)
          .onConflict((on) => on.columns(['app', 'part', 'gen', 'recipient']).doUpdateSet({ wrap: row.wrap })),
      );
    }
  },

  *dropWraps(q, input) {
    yield* run(q.db.deleteFrom('key_wrap').where('recipient', '=', input.recipient));
  },

  *listWraps(q, input) {
    if (input.recipients.length === 0) return [];
    let query = q.db
      .selectFrom('key_wrap')
      .selectAll()
      .where('recipient', 'in', [...input.recipients]);
    if (input.app !== undefined) query = query.where('app', '=', input.app);
    if (input.part !== undefined) query = query.where('part', '=', input.part);
    const rows = yield* all(query.orderBy('app').orderBy('gen', 'desc').orderBy('part').orderBy('recipient'));
    return rows.map((row): KeyWrap => wrapSchema.parse(row));
  },
};
