import { type ItemUid, PamError, type Service } from '@sallyport/protocol';
import { findItem } from '../vault/find-item.ts';
import type { VaultSession } from '../vault/open-session.ts';
import type { User } from './rotated-record.ts';

/** @throws PAM_NOT_FOUND; PAM_USAGE for a user without a rotation. */
export async function findServed(
  session: VaultSession,
  text: string,
): Promise<{ readonly user: User; readonly services: readonly Service[] }> {
  const user = await findItem(session.vault, 'record', text, ['pamUser']);
  const { rotation } = user.facts;
  if (rotation !== undefined) return { user, services: rotation.services };
  throw new PamError('PAM_USAGE', `“${user.title}” has no rotation that a service could follow`, {
    remedy: `Run pam rotation edit -r ${user.uid} first.`,
  });
}

/** Seals the record with these services. @throws PAM_TOO_LARGE, PAM_USAGE when they are too many. */
export async function writeServices(session: VaultSession, user: User, services: readonly Service[]): Promise<void> {
  const { uid, app, type, facts } = user;
  const { rotation } = facts;
  if (rotation === undefined) return;
  await session.vault.write(user, {
    ...{ uid, app, type },
    facts: { ...facts, rotation: { ...rotation, services: [...services] } },
  });
}

/** A service as every command prints it in JSON; its template is left out. */
export function serviceJson(service: Service, holder: ItemUid): Record<string, unknown> {
  const { name, machine, as = null, unit, manager, file, escape, template } = service;
  return {
    ...{ name, machine_uid: machine, as_uid: as, unit, manager, file, escape },
    bytes: new TextEncoder().encode(template).length,
    on_uid: holder,
  };
}
