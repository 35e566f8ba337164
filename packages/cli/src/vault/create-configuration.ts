import type { ApplicationUid, GatewayUid, PermissionName } from '@sallyport/protocol';
import { PamError } from '@sallyport/protocol';
import type { VaultSession } from './open-session.ts';
import { type OpenedItem, freshUid } from './vault.ts';

/** Makes a network PAM configuration. PAM_CONFLICT when the application has one of this title. */
export async function makeConfiguration(
  session: VaultSession,
  want: {
    readonly title: string;
    readonly app: ApplicationUid;
    readonly gateway: GatewayUid;
    readonly networks: readonly string[];
    readonly permissions: Readonly<Partial<Record<PermissionName, 'on' | 'off'>>>;
    readonly tags?: readonly string[];
    readonly notes?: string;
  },
): Promise<OpenedItem> {
  const same = (await session.vault.allItems(['pamNetworkConfiguration'])).find(
    (one) => one.title === want.title && one.app === want.app,
  );
  if (same !== undefined)
    throw new PamError('PAM_CONFLICT', `a PAM configuration “${want.title}” exists already (${same.uid})`);
  return session.vault.write(null, {
    uid: freshUid(),
    app: want.app,
    type: 'pamNetworkConfiguration',
    facts: {
      title: want.title,
      gateway: want.gateway,
      networks: [...want.networks],
      permissions: { connections: 'off', tunneling: 'off', rotation: 'off', recording: 'off', ...want.permissions },
      tags: [...(want.tags ?? [])],
      ...(want.notes === undefined ? {} : { notes: want.notes }),
      custom: {},
    },
  });
}
