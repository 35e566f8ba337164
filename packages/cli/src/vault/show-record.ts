import type { RecordType, UserSecrets } from '@sallyport/protocol';
import { isoTime } from '../terminal/show.ts';
import type { Application, OpenedItem } from './vault.ts';

/** One record as JSON output carries it. Names of secrets are shown, their values only when `secrets` is given. */
export function recordJson(
  item: OpenedItem<RecordType>,
  applications: readonly Application[],
  secrets: UserSecrets | null,
  unmask: boolean,
): Record<string, unknown> {
  const { title, ...fields } = item.facts;
  return {
    record_uid: item.uid,
    title,
    type: item.type,
    app_uid: item.app,
    app_name: applications.find((one) => one.app === item.app)?.title ?? null,
    revision: item.factsRev,
    created_on: isoTime(item.item.createdAtMs),
    last_modified: isoTime(item.item.modifiedAtMs),
    sealed_by: item.author,
    fields,
    ...(secrets === null ? {} : { secrets: unmask ? secrets : masked(secrets) }),
  };
}

/** Which secrets there are, without them. */
export function masked(secrets: UserSecrets): Record<string, unknown> {
  const custom = Object.fromEntries(Object.keys(secrets.custom).map((key) => [key, '********']));
  const own = Object.fromEntries(
    Object.entries(secrets)
      .filter(([key, value]) => key !== 'custom' && value !== undefined)
      .map(([key]) => [key, '********']),
  );
  return { ...own, ...(Object.keys(custom).length === 0 ? {} : { custom }) };
}

/** `host:port` of a resource; empty for others. */
export function endpointText(item: OpenedItem<RecordType>): string {
  if (!('host' in item.facts)) return item.facts.login;
  return item.facts.host.includes(':')
    ? `[${item.facts.host}]:${item.facts.port}`
    : `${item.facts.host}:${item.facts.port}`;
}
