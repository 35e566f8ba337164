import { isUsableOn, type ItemUid, type RecordType, type ResourceFacts } from '@sallyport/protocol';
import type { VaultSession } from './open-session.ts';
import { type KnownItems, notUsableOn, type RecordDraft, usableOnResource } from './record-input.ts';
import type { FactsOf } from './facts.ts';
import type { OpenedItem } from './vault.ts';

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
 * Seals a record, then signs each credential it names for exactly this endpoint.
 *
 * @returns the record and the credentials that were signed, as the router now serves them.
 */
export async function saveRecord(
  session: VaultSession,
  before: OpenedItem<RecordType> | null,
  uid: ItemUid,
  app: OpenedItem['app'],
  draft: RecordDraft,
): Promise<{ readonly record: OpenedItem; readonly users: readonly OpenedItem<'pamUser'>[] }> {
  const record = await session.vault.write(before, {
    uid,
    app,
    type: draft.type,
    facts: draft.facts,
    ...(draft.secrets === undefined ? {} : { secrets: draft.secrets }),
  });
  return { record, users: await signCredentials(session, uid, draft.facts as ResourceFacts, draft.credentials) };
}

/**
 * Signs credentials for the endpoint of a resource, those that are not yet: pointing a credential somewhere needs the right
 * to read it, so it is a change of the credential's own record.
 *
 * @returns those that were changed.
 */
export async function signCredentials(
  session: VaultSession,
  uid: ItemUid,
  resource: ResourceFacts,
  users: readonly OpenedItem<'pamUser'>[],
): Promise<readonly OpenedItem<'pamUser'>[]> {
  const signed: OpenedItem<'pamUser'>[] = [];
  for (const user of users) {
    if (isUsableOn(user.facts, uid, resource)) continue;
    const facts = usableOnResource(user.facts, uid, resource);
    const written = await session.vault.write(user, { uid: user.uid, app: user.app, type: 'pamUser', facts });
    signed.push(written as OpenedItem<'pamUser'>);
  }
  return signed;
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
