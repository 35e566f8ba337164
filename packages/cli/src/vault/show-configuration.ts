import type { NamedGateway } from '../gateway/gateway-rows.ts';
import { isoTime } from '../terminal/show.ts';
import type { Application, OpenedItem } from './vault.ts';

/** One PAM configuration as JSON output carries it. `resources` are the records that use it. */
export function configurationJson(
  item: OpenedItem<'pamNetworkConfiguration'>,
  applications: readonly Application[],
  gateways: readonly NamedGateway[],
  resources: readonly OpenedItem[],
): Record<string, unknown> {
  const { facts } = item;
  return {
    uid: item.uid,
    config_name: item.title,
    config_type: item.type,
    app_uid: item.app,
    app_name: applications.find((one) => one.app === item.app)?.title ?? null,
    gateway_uid: facts.gateway,
    gateway_name: gateways.find((one) => one.uid === facts.gateway)?.title ?? null,
    networks: facts.networks,
    permissions: facts.permissions,
    resource_record_uids: resources.map((one) => one.uid),
    tags: facts.tags,
    notes: facts.notes ?? '',
    custom: facts.custom,
    revision: item.factsRev,
    created_on: isoTime(item.item.createdAtMs),
    last_modified: isoTime(item.item.modifiedAtMs),
  };
}

/** `connections tunneling`: what is on; `nothing` when all is off. */
export function permittedText(permissions: Readonly<Record<string, string>>): string {
  const on = Object.entries(permissions)
    .filter(([, value]) => value === 'on')
    .map(([name]) => name);
  return on.length === 0 ? 'nothing' : on.join(' ');
}
