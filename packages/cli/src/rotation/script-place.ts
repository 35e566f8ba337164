import { type ApplicationUid, isUsableOn, type ItemUid, PamError } from '@sallyport/protocol';
import { findItem } from '../vault/find-item.ts';
import type { VaultSession } from '../vault/open-session.ts';
import type { OpenedItem } from '../vault/vault.ts';

/** Where something runs and as whom, as it is signed. Without `machine`: on the resource of each account. */
export interface SignedPlace {
  readonly machine?: ItemUid;
  readonly as?: ItemUid;
}

/**
 * What `--machine` and `--as` say, looked at as an instance will.
 *
 * @param own - the machine that is meant without `--machine`; null: none.
 * @throws PAM_NOT_FOUND; PAM_USAGE for another application; PAM_PERMISSION_OFF when nobody may log in there.
 */
export async function findPlace(
  session: VaultSession,
  app: ApplicationUid,
  flags: { readonly machine?: string | undefined; readonly as?: string | undefined },
  own: OpenedItem<'pamMachine'> | null,
): Promise<SignedPlace> {
  const machine =
    flags.machine === undefined ? own : await findItem(session.vault, 'machine', flags.machine, ['pamMachine']);
  const as = flags.as === undefined ? null : await findItem(session.vault, 'record', flags.as, ['pamUser']);
  const login = as === null ? {} : { as: as.uid };
  if (machine === null) return login;
  if (machine.app !== app || (as !== null && as.app !== app)) {
    throw new PamError('PAM_USAGE', `“${(as ?? machine).title}” or “${machine.title}” is of another application`);
  }
  const { facts, uid, title } = machine;
  if (as === null && !facts.credentials.some(({ role }) => role === 'admin')) {
    throw new PamError('PAM_PERMISSION_OFF', `“${title}” has no administrative credential`, {
      remedy: `Run pam record edit ${uid} --credential RECORD:admin, or name one with --as.`,
    });
  }
  if (as !== null && !isUsableOn(as.facts, uid, facts)) {
    throw new PamError('PAM_PERMISSION_OFF', `“${as.title}” may not be used on “${title}”`, {
      remedy: `Run pam record edit ${uid} --credential ${as.uid}:launch.`,
    });
  }
  return { machine: uid, ...login };
}

/** The resource as a machine that can be logged in to; null: it is none. */
export function machineOf(resource: OpenedItem | null): OpenedItem<'pamMachine'> | null {
  return resource?.type === 'pamMachine' ? (resource as OpenedItem<'pamMachine'>) : null;
}

/** Titles of the machines that can be seen, by UID. */
export async function machineTitles(session: VaultSession): Promise<ReadonlyMap<ItemUid, string>> {
  const { items } = await session.vault.items(['pamMachine']);
  return new Map(items.map(({ uid, title }) => [uid, title]));
}
