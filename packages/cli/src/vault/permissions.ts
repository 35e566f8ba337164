import type { PermissionName, Switch } from '@sallyport/protocol';

/**
 * The effective switch of a record: its own `on` or `off`, else what the PAM configuration says; the configuration is
 * the ceiling, so `on` in the record does not pass an `off` there.
 */
export function effectivePermission(
  name: PermissionName,
  record: Readonly<Record<PermissionName, Switch>>,
  configuration: Readonly<Record<PermissionName, 'on' | 'off'>> | null,
): { readonly on: boolean; readonly because: 'record' | 'configuration' | 'no-configuration' } {
  if (configuration === null) return { on: false, because: 'no-configuration' };
  if (configuration[name] === 'off') return { on: false, because: 'configuration' };
  return record[name] === 'off' ? { on: false, because: 'record' } : { on: true, because: 'record' };
}
