import { isUsableOn, type ItemUid, type RecordType, type ResourceFacts } from '@sallyport/protocol';
import type { VaultSession } from './open-session.ts';
import { type KnownItems, notUsableOn, type RecordDraft, usableOnResource } from './record-input.ts';
import type { FactsOf, OpenedItem } from './vault.ts';

/** What records can be linked to. Every one is opened and checked first: nothing is linked by a name that is not believed. */
export async function knownItems(session: VaultSession): Promise<KnownItems> {
  const all = await session.vault.allItems(['pamNetworkConfiguration', 'pamUser']);
  return {
    configurations: all.filter(
      (item): item is OpenedItem<'pamNetworkConfiguration'> => item.type === 'pamNetworkConfiguration',
    ),
    users: all.filter((item): item is OpenedItem<'pamUser'> => item.type === 'pamUser'),
  };
}

/**
 * Seals a record, then signs each credential it names for exactly this endpoint: pointing a credential somewhere needs
 * the right to read it, so it is a change of the credential's own record.
 *
 * @returns the record as the router now serves it.
 */
export async function saveRecord(
  session: VaultSession,
  before: OpenedItem<RecordType> | null,
  uid: ItemUid,
  app: OpenedItem['app'],
  draft: RecordDraft,
): Promise<OpenedItem> {
  const { vault } = session;
  const written = await vault.write(before, {
    uid,
    app,
    type: draft.type,
    facts: draft.facts,
    ...(draft.secrets === undefined ? {} : { secrets: draft.secrets }),
  });
  for (const user of draft.credentials) {
    const resource = draft.facts as ResourceFacts;
    if (isUsableOn(user.facts, uid, resource)) continue;
    await vault.write(user, {
      uid: user.uid,
      app,
      type: 'pamUser',
      facts: usableOnResource(user.facts, uid, resource),
    });
  }
  return written;
}

/** Credentials that this resource links but whose records do not name it as it is now: the links are dead. */
export function deadLinks(
  uid: ItemUid,
  facts: FactsOf<RecordType>,
  known: KnownItems,
): readonly OpenedItem<'pamUser'>[] {
  if (!('credentials' in facts)) return [];
  return facts.credentials.flatMap((link) => {
    const user = known.users.find((one) => one.uid === link.record);
    return user === undefined || isUsableOn(user.facts, uid, facts) ? [] : [user];
  });
}

/** Takes a resource out of the records of credentials it no longer links. */
export async function unlinkCredentials(
  session: VaultSession,
  uid: ItemUid,
  users: readonly OpenedItem<'pamUser'>[],
): Promise<void> {
  for (const user of users) {
    if (!user.facts.usableOn.some((one) => one.resource === uid)) continue;
    await session.vault.write(user, {
      uid: user.uid,
      app: user.app,
      type: 'pamUser',
      facts: notUsableOn(user.facts, uid),
    });
  }
}
