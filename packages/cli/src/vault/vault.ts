import {
  type ApplicationUid,
  getItem,
  type Item,
  type ItemType,
  type ItemUid,
  itemHistory,
  itemUidSchema,
  listItems,
  newUid,
  PamError,
  type Part,
  type PartEnvelope,
  type UserSecrets,
  userSecretsSchema,
  writeItem,
  type WriteItem,
} from '@sallyport/protocol';
import { type JsonValue, openPart, sealPart } from '@sallyport/seal';
import type { SignedIn } from '../person/signed-in.ts';
import { type Clock, nowSeconds } from '../time/clock.ts';
import { mirrorDifferences, mirrorOf } from './mirror.ts';
import { openRevisionMemory, servedParts } from './revision-memory.ts';
import { checkFacts, type FactsOf, notUnderstood, readFacts } from './facts.ts';
import { type Keyring, mustHold, openKeyring } from './keyring.ts';
import type { Named } from './resolve.ts';

/** An item whose facts were opened, checked and believed. */
export interface OpenedItem<Type extends ItemType = ItemType> extends Named {
  readonly uid: ItemUid;
  readonly app: ApplicationUid;
  readonly type: Type;
  readonly facts: FactsOf<Type>;
  readonly factsRev: number;
  /** Device id of who sealed these facts. */
  readonly author: string;
  readonly item: Item;
}

/** An item that could not be believed, and why. */
interface Unreadable {
  readonly uid: ItemUid;
  readonly type: ItemType;
  readonly error: PamError;
}

export interface Application extends Named {
  readonly uid: ItemUid;
  readonly app: ApplicationUid;
  readonly item: OpenedItem<'application'>;
}

/** What the vault lets a command do. Everything that comes from the router is checked before it is returned. */
export interface Vault extends Pick<Keyring, 'currentKeys' | 'allKeys'> {
  applications(): Promise<readonly Application[]>;
  /** Items of these types (all when empty); what cannot be believed is listed apart. */
  items<Type extends ItemType>(
    types: readonly Type[],
    filter?: { readonly app?: ApplicationUid },
  ): Promise<{ readonly items: readonly OpenedItem<Type>[]; readonly unreadable: readonly Unreadable[] }>;
  /** Like `items`, but anything that cannot be believed is an error: for deciding by name. */
  allItems<Type extends ItemType>(types: readonly Type[]): Promise<readonly OpenedItem<Type>[]>;
  item(uid: ItemUid): Promise<OpenedItem>;
  /**
   * The same of many at one look, each at most once: what cannot be believed, or is not there, is the error of its own
   * place. At most 32 a call.
   */
  itemsAtOnce(uids: readonly ItemUid[]): Promise<ReadonlyMap<ItemUid, OpenedItem | PamError>>;
  open(item: Item): Promise<OpenedItem>;
  secrets(item: OpenedItem): Promise<UserSecrets | null>;
  /** Every stored revision, newest first, with its body opened. */
  history(item: OpenedItem): Promise<readonly OldVersion[]>;
  /** Seals and sends. `before` is null for a new item. */
  write<Type extends ItemType>(
    before: OpenedItem | null,
    next: {
      readonly uid: ItemUid;
      readonly app: ApplicationUid;
      readonly type: Type;
      readonly facts: FactsOf<Type>;
      readonly secrets?: UserSecrets;
    },
  ): Promise<OpenedItem>;
  /** Seals facts as they are under a higher revision, for a route that takes them so. */
  sealAnew(item: OpenedItem, rev: number): Promise<WriteItem>;
  /** Seals the first facts of an item for a route that creates it with more (application, gateway). */
  sealNew<Type extends ItemType>(
    next: { readonly uid: ItemUid; readonly app: ApplicationUid; readonly type: Type; readonly facts: FactsOf<Type> },
    keys: { readonly facts: Uint8Array; readonly gen: number },
  ): Promise<WriteItem>;
}

export interface OldVersion {
  readonly part: Part;
  readonly rev: number;
  readonly gen: number;
  readonly author: string;
  readonly atMs: number;
  readonly body: unknown;
}

export interface VaultDeps {
  readonly signedIn: Pick<SignedIn, 'client' | 'chain' | 'log' | 'device' | 'person' | 'store'>;
  readonly clock: Clock;
  /** Told what the user should know without it being an error. */
  readonly warn: (text: string) => void;
}

/** A fresh UID from the secret source. */
export function freshUid(): ItemUid {
  return itemUidSchema.parse(newUid((length) => crypto.getRandomValues(new Uint8Array(length))));
}

export function openVault(deps: VaultDeps): Vault {
  const { client, chain, log, device, store } = deps.signedIn;
  const keyring = openKeyring(deps.signedIn);
  const revisions = openRevisionMemory(store);
  let applications: readonly Application[] | undefined;

  const openBody = async (item: Item, part: Part, served: PartEnvelope) => {
    const key = await keyring.keyOf(item.app, part === 'secrets' ? 'secrets' : 'facts', served.gen);
    return openPart(
      served.envelope,
      { app: item.app, uid: item.uid, type: item.type, part, gen: served.gen, rev: served.rev },
      key,
      log.state(),
    );
  };

  /** What another device just wrote may stand on log entries that came after our last look. */
  const catchUp = async () => {
    const shown = client.shownLogHead();
    if (shown !== null && shown.n > log.state().head.n) await log.atLeast(shown);
  };

  const openChecked = async (item: Item): Promise<OpenedItem> => {
    const served = item.parts.facts;
    if (served === undefined) throw new PamError('PAM_SEAL_BROKEN', `the router serves no facts of ${item.uid}`);
    await catchUp();
    await revisions.check(servedParts(item));
    const opened = await openBody(item, 'facts', served);
    const facts = readFacts(item, opened.body);
    const different = mirrorDifferences(mirrorOf(item.type, facts), item.mirror);
    if (different.length > 0) {
      deps.warn(
        `the router's copy of “${facts.title}” (${item.uid}) differs from what is sealed in: ${different.join(', ')}. The sealed values hold.`,
      );
    }
    return {
      uid: item.uid,
      app: item.app,
      type: item.type,
      title: facts.title,
      facts,
      factsRev: served.rev,
      author: opened.author,
      item,
    };
  };

  const open = async (item: Item) => {
    const opened = await openChecked(item);
    await revisions.remember(servedParts(item));
    return opened;
  };

  const fetchItems = async (query: { app?: ApplicationUid; type?: ItemType }): Promise<readonly Item[]> => {
    const all: Item[] = [];
    for (;;) {
      const after = all.at(-1)?.uid;
      const page = await client.call(listItems, { query: { ...query, ...(after === undefined ? {} : { after }) } });
      all.push(...page.items);
      if (!page.more || page.items.length === 0) return all;
    }
  };

  const items = async <Type extends ItemType>(
    types: readonly Type[],
    filter: { readonly app?: ApplicationUid } = {},
  ) => {
    const [only] = types;
    const fetched = await fetchItems({
      ...filter,
      ...(types.length === 1 && only !== undefined ? { type: only } : {}),
    });
    const opened: OpenedItem<Type>[] = [];
    const unreadable: Unreadable[] = [];
    for (const item of fetched) {
      if (types.length > 0 && !types.some((type) => type === item.type)) continue;
      try {
        opened.push((await openChecked(item)) as OpenedItem<Type>);
      } catch (reason) {
        if (!(reason instanceof PamError)) throw reason;
        unreadable.push({ uid: item.uid, type: item.type, error: reason });
      }
    }
    await revisions.remember(opened.flatMap((one) => servedParts(one.item)));
    opened.sort((a, b) => (a.title < b.title ? -1 : a.title > b.title ? 1 : a.uid < b.uid ? -1 : 1));
    return { items: opened, unreadable };
  };

  const sealed = async (
    place: {
      readonly app: ApplicationUid;
      readonly uid: ItemUid;
      readonly type: ItemType;
      readonly part: Part;
      readonly gen: number;
      readonly rev: number;
    },
    body: unknown,
    key: Uint8Array,
  ): Promise<PartEnvelope> => ({
    rev: place.rev,
    gen: place.gen,
    envelope: await sealPart(
      place,
      JSON.parse(JSON.stringify(body)) as JsonValue,
      key,
      device.key,
      nowSeconds(deps.clock),
    ),
  });

  return {
    applications: async () => {
      if (applications !== undefined) return applications;
      const opened: Application[] = [];
      for (const item of await keyring.applications()) {
        const one = await open(item);
        if (one.type !== 'application') throw new PamError('PAM_SEAL_MISPLACED', `${item.uid} is no application`);
        opened.push({ uid: item.uid, app: item.app, title: one.title, item: one as OpenedItem<'application'> });
      }
      opened.sort((a, b) => (a.title < b.title ? -1 : 1));
      applications = opened;
      return opened;
    },
    items,
    allItems: async (types) => {
      const found = await items(types);
      const [bad] = found.unreadable;
      if (bad !== undefined) throw bad.error;
      return found.items;
    },
    item: async (uid) => {
      const { item } = await client.call(getItem, { params: { uid } });
      if (item.uid !== uid)
        throw new PamError('PAM_SEAL_MISPLACED', `the router answered ${item.uid} when asked for ${uid}`);
      return open(item);
    },
    itemsAtOnce: async (uids) => {
      const { items: served } = await client.call(listItems, { query: { uids: uids.join(',') } });
      const found = new Map<ItemUid, OpenedItem | PamError>();
      for (const uid of uids) {
        const item = served.find((one) => one.uid === uid);
        found.set(uid, item === undefined ? notThere(uid) : await believed(openChecked(item)));
      }
      const good = [...found.values()].filter((one): one is OpenedItem => !(one instanceof PamError));
      // Before anybody relies on one of them, and as one change of the profile.
      await revisions.remember(good.flatMap((one) => servedParts(one.item)));
      return found;
    },
    open,
    secrets: async (opened) => {
      const served = opened.item.parts.secrets;
      if (served === undefined) return null;
      await revisions.check(servedParts(opened.item));
      const { body } = await openBody(opened.item, 'secrets', served);
      const parsed = userSecretsSchema.safeParse(body);
      if (!parsed.success) throw notUnderstood(opened.item, 'secrets', parsed.error);
      await revisions.remember(servedParts(opened.item));
      return parsed.data;
    },
    history: async (opened) => {
      const { versions } = await client.call(itemHistory, { params: { uid: opened.uid } });
      const result: OldVersion[] = [];
      for (const version of versions) {
        const read = await openBody(opened.item, version.part, version);
        result.push({
          part: version.part,
          rev: version.rev,
          gen: version.gen,
          author: read.author,
          atMs: read.at * 1_000,
          body: read.body,
        });
      }
      return result;
    },
    write: async (before, next) => {
      const facts = checkFacts(next.type, next.facts);
      const { gen, keys: held } = await keyring.currentKeys(
        next.app,
        next.secrets === undefined ? ['facts'] : ['facts', 'secrets'],
      );
      const place = { app: next.app, uid: next.uid, type: next.type, gen };
      const rev = (part: 'facts' | 'secrets') => (before?.item.parts[part]?.rev ?? 0) + 1;
      const body: WriteItem = {
        uid: next.uid,
        app: next.app,
        type: next.type,
        mirror: mirrorOf(next.type, facts),
        parts: {
          facts: await sealed({ ...place, part: 'facts', rev: rev('facts') }, facts, mustHold(held, 'facts')),
          ...(next.secrets === undefined
            ? {}
            : {
                secrets: await sealed(
                  { ...place, part: 'secrets', rev: rev('secrets') },
                  next.secrets,
                  mustHold(held, 'secrets'),
                ),
              }),
        },
      };
      const written = await chain.callAndTake(
        writeItem,
        { params: { uid: next.uid }, body: { item: body } },
        [next.uid],
        async ({ item }) => ({
          taken: await openChecked(item),
          seen: { revs: await revisions.newsIn(servedParts(item)) },
        }),
      );
      await revisions.reload();
      return written;
    },
    sealAnew: async (item, rev) => {
      const { gen, keys: held } = await keyring.currentKeys(item.app, ['facts']);
      const { app, uid, type, facts } = item;
      const place = { app, uid, type, part: 'facts', gen, rev } as const;
      const sealedFacts = await sealed(place, facts, mustHold(held, 'facts'));
      return { uid, app, type, mirror: mirrorOf(type, facts), parts: { facts: sealedFacts } };
    },
    sealNew: async (next, held) => ({
      uid: next.uid,
      app: next.app,
      type: next.type,
      mirror: mirrorOf(next.type, next.facts),
      parts: {
        facts: await sealed(
          { app: next.app, uid: next.uid, type: next.type, part: 'facts', gen: held.gen, rev: 1 },
          checkFacts(next.type, next.facts),
          held.facts,
        ),
      },
    }),
    currentKeys: keyring.currentKeys,
    allKeys: keyring.allKeys,
  };
}

const notThere = (uid: ItemUid): PamError =>
  new PamError('PAM_NOT_FOUND', `there is no item ${uid}`, { detail: { uid } });

async function believed(opening: Promise<OpenedItem>): Promise<OpenedItem | PamError> {
  try {
    return await opening;
  } catch (reason) {
    if (reason instanceof PamError) return reason;
    throw reason;
  }
}
