import type { Item } from '@sallyport/protocol';
import type { RotationStore } from '../../../rotation/index.ts';
import { type Act, type ActsOf, all, prepared, type Queries } from '../../act.ts';
import { allParts, liveItems, readItems } from '../vault-acts.ts';

const offerItems = 96;

const linkedTo = prepared((db, of: { target: string; most: number }) =>
  db.selectFrom('item_link').select('item').where('target', '=', of.target).orderBy('item').limit(of.most),
);

/** Items that an offer has not yet, as many as it has room for. */
function* readMore(q: Queries, uids: readonly string[], have: Set<string>): Act<Item[]> {
  const rest = [...new Set(uids)].filter((uid) => !have.has(uid)).slice(0, Math.max(0, offerItems - have.size));
  for (const uid of rest) have.add(uid);
  return yield* readItems(q, yield* liveItems(q, rest), allParts);
}

export const offerActs: Pick<ActsOf<RotationStore>, 'readOfferItems'> = {
  *readOfferItems(q, input) {
    const [record] = yield* readItems(q, yield* liveItems(q, [input.record]), allParts);
    if (record === undefined) return [];
    const linked = yield* all(linkedTo(q, { target: input.record, most: offerItems }));
    const named = record.mirror.rotation?.resource ?? null;
    const resources = [...new Set([...(named === null ? [] : [named]), ...linked.map((row) => row.item)])];
    const first_ = yield* readItems(q, yield* liveItems(q, resources), allParts);
    const uids = [record, ...first_].flatMap(({ mirror }) => [
      ...(mirror.configuration === null ? [] : [mirror.configuration]),
      ...mirror.credentials,
    ]);
    const have = new Set<string>([record.uid, ...first_.map((item) => item.uid)]);
    const others = yield* readMore(q, uids, have);
    // A machine that a script or service runs on, and nothing else links to it: who logs in there comes along.
    const machines = others.filter(({ type }) => type === 'pamMachine');
    const logins = yield* readMore(
      q,
      machines.flatMap(({ mirror }) => mirror.credentials),
      have,
    );
    return [record, ...first_, ...others, ...logins].filter((item) => item.app === record.app).slice(0, offerItems);
  },
};
