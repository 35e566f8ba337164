import {
  type ItemType,
  type Mirror,
  type NetworkConfigurationFacts,
  permissionNames,
  type ResourceFacts,
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

/** The plain columns that belong to these facts: what the router may know for its lists and early refusals. */
export function mirrorOf(type: ItemType, facts: unknown): Mirror {
  switch (type) {
    case 'application':
    case 'gateway':
      return emptyMirror;
    case 'pamUser': {
      const { configuration, rotation } = facts as UserFacts;
      return { ...emptyMirror, configuration, ...rotationMirror(rotation) };
    }
    case 'pamNetworkConfiguration': {
      const configuration = facts as NetworkConfigurationFacts;
      return { ...emptyMirror, gateway: configuration.gateway, permissions: configuration.permissions };
    }
    case 'pamMachine':
    case 'pamDatabase':
    case 'pamDirectory':
    case 'pamRemoteBrowser': {
      const resource = facts as ResourceFacts;
      return {
        gateway: null,
        configuration: resource.configuration,
        credentials: resource.credentials.map((link) => link.record),
        permissions: resource.permissions,
      };
    }
    default:
      return type satisfies never;
  }
}

/** The schedule that the router's timer goes by; absent on demand. */
function rotationMirror(rotation: UserFacts['rotation']): Pick<Mirror, 'rotation'> {
  if (rotation === undefined || !rotation.enabled || rotation.standing === null) return {};
  const { schedule } = peekStandingOrder(rotation.standing);
  return { rotation: { schedule, resource: rotation.resource } };
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
