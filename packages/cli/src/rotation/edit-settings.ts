import {
  defaultComplexity,
  type GatewayUid,
  itemUidSchema,
  PamError,
  resourceTypes,
  type RotationSettings,
  type Schedule,
} from '@sallyport/protocol';
import { parseComplexity } from '@sallyport/rotation';
import { z } from 'zod';
import type { Cli } from '../cli.ts';
import { parseAddress } from '../api/address.ts';
import { findItem } from '../vault/find-item.ts';
import type { VaultSession } from '../vault/open-session.ts';
import type { FactsOf } from '../vault/facts.ts';
import { usableOnResource } from '../vault/record-input.ts';
import { readOnce } from './read-once.ts';
import { factsOfResource, type ItemReader, type Resource, resourceOf, type User } from './rotated-record.ts';
import { readSchedule, scheduleFlagsSchema, type WantedSchedule } from './schedule-flags.ts';
import { signSchedule } from './sign-schedule.ts';

export const editFlagsSchema = scheduleFlagsSchema.extend({
  record: z.string().optional(),
  filter: z.string().max(256).optional(),
  resource: z.string().optional(),
  by: z.enum(['auto', 'admin', 'own']).optional(),
  enabled: z.enum(['on', 'off']).optional(),
  scriptsOnly: z.enum(['on', 'off']).optional(),
  kind: z.string().max(40).optional(),
  changes: z.enum(['password', 'ssh-key']).optional(),
  complexity: z.string().max(400).optional(),
  replica: z.array(z.string().max(300)).max(16).optional(),
});
export type EditFlags = z.infer<typeof editFlagsSchema>;

/** What a rotation is before anything was said of it. */
const blank: RotationSettings = {
  enabled: true,
  resource: null,
  by: 'auto',
  noop: false,
  kind: '',
  changes: 'password',
  complexity: null,
  standing: null,
  replicas: [],
  scripts: [],
  services: [],
};

/** What the flags say, and what the records share: read once for all of them. */
export interface Edit {
  readonly flags: EditFlags;
  readonly schedule: WantedSchedule;
  readonly resource: Resource | null;
  readonly items: ItemReader;
}

export async function readEdit(session: VaultSession, flags: EditFlags): Promise<Edit> {
  const said = Object.entries(flags).filter(
    ([name, value]) => !['record', 'filter'].includes(name) && value !== undefined && value !== false,
  );
  if (said.length === 0) throw new PamError('PAM_USAGE', 'nothing to change: no flag was given');
  const resource =
    flags.resource === undefined ? null : await findItem(session.vault, 'record', flags.resource, resourceTypes);
  return { flags, schedule: readSchedule(flags), resource, items: readOnce(session.vault) };
}

/** A record as it is now, and what its owner should know although it went well. */
export interface Edited {
  readonly user: User;
  readonly warning: string | null;
}

/** Changes the settings of one record and signs its schedule; the record is signed for its resource with it. */
export async function editRotation(cli: Cli, session: VaultSession, user: User, edit: Edit): Promise<Edited> {
  const { flags } = edit;
  const before = user.facts.rotation ?? blank;
  const resource = edit.resource ?? (before.resource === null ? null : await resourceOf(edit.items, before.resource));
  const noop = flags.scriptsOnly === undefined ? before.noop : flags.scriptsOnly === 'on';
  if (resource === null && !noop) {
    throw new PamError('PAM_USAGE', `“${user.title}” names no resource to be changed on`, {
      remedy: 'Add --resource RECORD, or --scripts-only on.',
    });
  }
  if (resource !== null && resource.app !== user.app) {
    throw new PamError('PAM_USAGE', `“${resource.title}” belongs to another application than “${user.title}”`);
  }
  const next: RotationSettings = {
    ...before,
    enabled: flags.enabled === undefined ? before.enabled : flags.enabled === 'on',
    resource: resource?.uid ?? null,
    by: flags.by ?? before.by,
    noop,
    kind: flags.kind ?? before.kind,
    changes: flags.changes ?? before.changes,
    complexity: flags.complexity === undefined ? before.complexity : parseComplexity(flags.complexity),
    replicas: flags.replica === undefined ? before.replicas : readReplicas(flags.replica),
  };
  const place = await placeOf(edit.items, user, resource);
  const standing = await standingOf(cli, session, user, edit.schedule, next, place);
  const facts = resource === null ? user.facts : usableOnResource(user.facts, resource.uid, factsOfResource(resource));
  const written = await session.vault.write(user, {
    uid: user.uid,
    app: user.app,
    type: 'pamUser',
    facts: { ...facts, rotation: { ...next, standing } },
  });
  const warning =
    place.rotation === 'on'
      ? null
      : `rotation is off in “${place.title}”: nothing runs before pam config edit ${place.uid} --rotation on`;
  return { user: written as User, warning };
}

function readReplicas(given: readonly string[]): RotationSettings['replicas'] {
  if (given.length === 1 && given[0] === 'none') return [];
  return given.map((text) => {
    const { host, port } = parseAddress(text);
    return { host, port };
  });
}

/** The configuration that a record's rotation goes through. */
interface Place {
  readonly uid: string;
  readonly title: string;
  readonly gateway: GatewayUid;
  readonly rotation: 'on' | 'off';
  readonly schedule: Schedule | null;
}

async function placeOf(items: ItemReader, user: User, resource: Resource | null): Promise<Place> {
  const holder = resource ?? user;
  const uid = resource === null ? user.facts.configuration : factsOfResource(resource).configuration;
  const configuration = uid === null ? null : await items.item(itemUidSchema.parse(uid));
  if (configuration?.type !== 'pamNetworkConfiguration') {
    throw new PamError('PAM_PERMISSION_OFF', `“${holder.title}” has no PAM configuration, which names the gateway`, {
      remedy: `Run pam record edit ${holder.uid} --config CONFIG.`,
    });
  }
  const facts = configuration.facts as FactsOf<'pamNetworkConfiguration'>;
  return {
    uid: configuration.uid,
    title: configuration.title,
    gateway: facts.gateway,
    rotation: facts.permissions.rotation,
    schedule: facts.rotationSchedule ?? null,
  };
}

async function standingOf(
  cli: Cli,
  session: VaultSession,
  user: User,
  wanted: WantedSchedule,
  next: RotationSettings,
  place: Place,
): Promise<string | null> {
  switch (wanted.kind) {
    case 'unchanged':
      return next.standing;
    case 'on-demand':
      return null;
    case 'own':
      return signSchedule(cli, session, user, place.gateway, wanted.schedule);
    case 'configuration':
      if (place.schedule !== null) return signSchedule(cli, session, user, place.gateway, place.schedule);
      throw new PamError('PAM_NOT_FOUND', `“${place.title}” offers no schedule`, {
        remedy: `Run pam config edit ${place.uid} --rotation-cron EXPRESSION, or give one here.`,
      });
    default:
      return wanted satisfies never;
  }
}

/** The settings' complexity as it holds. */
export const complexityOf = (settings: RotationSettings) => settings.complexity ?? defaultComplexity;
