import {
  type ItemType,
  type ItemUid,
  type Mirror,
  type NetworkConfigurationFacts,
  permissionNames,
  type ResourceFacts,
  type Script,
  type Service,
  type UserFacts,
} from '@sallyport/protocol';
import { peekStandingOrder } from '@sallyport/seal';

const inherit: Mirror['permissions'] = {
  connections: 'default',
  tunneling: 'default',
  rotation: 'default',
  recording: 'default',
};
const emptyMirror: Mirror = { gateway: null, configuration: null, credentials: [], permissions: inherit };

const unique = (uids: readonly ItemUid[]): ItemUid[] => [...new Set(uids)].slice(0, 64);

/** The plain columns that belong to these facts: what the router may know for its lists and early refusals. */
export function mirrorOf(type: ItemType, facts: unknown): Mirror {
  switch (type) {
    case 'application':
    case 'gateway':
      return emptyMirror;
    case 'pamUser': {
      const { configuration, rotation } = facts as UserFacts;
      const credentials = unique(neededBy(rotation?.scripts, rotation?.services));
      return { ...emptyMirror, configuration, credentials, ...rotationMirror(rotation) };
    }
    case 'pamNetworkConfiguration': {
      const configuration = facts as NetworkConfigurationFacts;
      const { gateway, permissions, rotationScripts } = configuration;
      return { ...emptyMirror, gateway, permissions, credentials: unique(neededBy(rotationScripts)) };
    }
    case 'pamMachine':
    case 'pamDatabase':
    case 'pamDirectory':
    case 'pamRemoteBrowser': {
      const resource = facts as ResourceFacts;
      return {
        gateway: null,
        configuration: resource.configuration,
        credentials: unique([
          ...resource.credentials.map((link) => link.record),
          ...neededBy(resource.rotationScripts),
        ]),
        permissions: resource.permissions,
      };
    }
    default:
      return type satisfies never;
  }
}

/** What the router's timer and offers go by; absent while no rotation is switched on. */
function rotationMirror(rotation: UserFacts['rotation']): Pick<Mirror, 'rotation'> {
  if (rotation === undefined || !rotation.enabled) return {};
  const { resource, standing } = rotation;
  if (standing === null) return { rotation: { schedule: null, resource } };
  const { schedule, iat } = peekStandingOrder(standing);
  return { rotation: { schedule, resource, anchorMs: iat * 1_000 } };
}

/** Records that an instance needs beside these facts: whose fields scripts are given, where something runs, and as whom. */
function neededBy(scripts: readonly Script[] = [], services: readonly Service[] = []): ItemUid[] {
  const places = [...scripts, ...services].flatMap(({ machine, as }) => [machine, as]);
  return [...scripts.flatMap((one) => one.records), ...places.filter((uid) => uid !== undefined)];
}

/**
 * Names of the columns in which the router's mirror differs from the sealed facts. Nothing decides by the mirror; a
 * difference means a defect or a router that rewires links for its lists, so it is told to the user.
 */
export function mirrorDifferences(sealed: Mirror, shown: Mirror): readonly string[] {
  const found: string[] = [];
  if (sealed.gateway !== shown.gateway) found.push('gateway');
  if (sealed.configuration !== shown.configuration) found.push('configuration');
  if ([...sealed.credentials].sort().join() !== [...shown.credentials].sort().join()) found.push('credentials');
  if (JSON.stringify(sealed.rotation ?? null) !== JSON.stringify(shown.rotation ?? null)) found.push('schedule');
  for (const name of permissionNames) if (sealed.permissions[name] !== shown.permissions[name]) found.push(name);
  return found;
}
