import { type GatewayUid, type Item, PamError, type PermissionName } from '@sallyport/protocol';

const resources: readonly Item['type'][] = ['pamMachine', 'pamDatabase', 'pamDirectory', 'pamRemoteBrowser'];

function off(permission: PermissionName, where: string, item: Item): PamError {
  return new PamError('PAM_PERMISSION_OFF', `${permission} is switched off by ${where} ${item.uid}`, {
    detail: { permission, item: item.uid },
  });
}

/**
 * Early refusal on the router's mirror, for the message; the instance decides from the sealed facts.
 *
 * @param items - resource and configuration as the store has them.
 * @throws PAM_NOT_FOUND, PAM_BAD_REQUEST for what is no resource, PAM_PERMISSION_OFF, PAM_NOT_ALLOWED when the
 *   configuration belongs to another gateway.
 */
export function checkPermission(
  want: { readonly resource: string; readonly gateway: GatewayUid; readonly permission: PermissionName },
  items: readonly Item[],
): { readonly resource: Item; readonly configuration: Item } {
  const resource = items.find((item) => item.uid === want.resource);
  if (resource === undefined) {
    throw new PamError('PAM_NOT_FOUND', `there is no record ${want.resource}`, { detail: { uid: want.resource } });
  }
  if (!resources.includes(resource.type)) {
    throw new PamError('PAM_BAD_REQUEST', `a ${resource.type} is nothing one can connect to`);
  }
  const configuration = items.find((item) => item.uid === resource.mirror.configuration);
  if (configuration === undefined) {
    throw new PamError('PAM_PERMISSION_OFF', 'the record has no PAM configuration, so nothing is switched on for it', {
      detail: { permission: want.permission, item: resource.uid },
    });
  }
  if (configuration.mirror.gateway !== want.gateway) {
    throw new PamError('PAM_NOT_ALLOWED', "the record's configuration belongs to another gateway", {
      detail: { item: resource.uid },
    });
  }
  if (configuration.mirror.permissions[want.permission] !== 'on')
    throw off(want.permission, 'the configuration', configuration);
  if (resource.mirror.permissions[want.permission] === 'off') throw off(want.permission, 'the record', resource);
  return { resource, configuration };
}
