import {
  configurationTypes,
  type ItemUid,
  PamError,
  resourceTypes,
  type Script,
  type UserFacts,
} from '@sallyport/protocol';
import type { VaultSession } from '../vault/open-session.ts';
import { findItem } from '../vault/find-item.ts';
import type { FactsOf } from '../vault/facts.ts';
import type { OpenedItem } from '../vault/vault.ts';

const holderTypes = ['pamUser', ...resourceTypes, ...configurationTypes] as const;
export type Holder = OpenedItem<(typeof holderTypes)[number]>;

/** A record or PAM configuration that can have scripts: those of the user run first, then the resource's, then the configuration's. */
export function findHolder(session: VaultSession, text: string): Promise<Holder> {
  return findItem(session.vault, 'record or PAM configuration', text, holderTypes);
}

/** @throws PAM_USAGE for a user without a rotation. */
export function scriptsOf(holder: Holder): readonly Script[] {
  if (holder.type !== 'pamUser') return (holder.facts as FactsOf<'pamMachine'>).rotationScripts ?? [];
  const { rotation } = holder.facts as UserFacts;
  if (rotation !== undefined) return rotation.scripts;
  throw new PamError('PAM_USAGE', `“${holder.title}” has no rotation that a script could follow`, {
    remedy: `Run pam rotation edit -r ${holder.uid} first.`,
  });
}

/** Seals the item with these scripts. @throws PAM_TOO_LARGE, PAM_USAGE when they are too many. */
export async function writeScripts(session: VaultSession, holder: Holder, scripts: readonly Script[]): Promise<void> {
  const { uid, app, type } = holder;
  if (type === 'pamUser') {
    const facts = holder.facts as UserFacts;
    const { rotation } = facts;
    if (rotation === undefined) return;
    await session.vault.write(holder, {
      uid,
      app,
      type,
      facts: { ...facts, rotation: { ...rotation, scripts: [...scripts] } },
    });
    return;
  }
  const facts = { ...(holder.facts as FactsOf<typeof type>), rotationScripts: [...scripts] };
  await session.vault.write(holder, { uid, app, type, facts });
}

/** A script as every command prints it in JSON; its text is left out. */
export function scriptJson(script: Script, holder: ItemUid): Record<string, unknown> {
  const { name, on, machine = null, as = null, command, records, timeoutSeconds, enabled, body } = script;
  return {
    ...{
      name,
      on,
      machine_uid: machine,
      as_uid: as,
      command,
      record_uids: records,
      timeout_seconds: timeoutSeconds,
      enabled,
    },
    bytes: new TextEncoder().encode(body).length,
    on_uid: holder,
  };
}

/** Exactly one script of this name. @throws PAM_NOT_FOUND. */
export function namedScript(holder: Holder, name: string): Script {
  const script = scriptsOf(holder).find((one) => one.name === name);
  if (script !== undefined) return script;
  throw new PamError('PAM_NOT_FOUND', `“${holder.title}” has no script “${name}”`, {
    remedy: `See pam rotation script-list -r ${holder.uid}.`,
  });
}
