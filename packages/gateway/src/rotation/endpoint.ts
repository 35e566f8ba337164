import type { ItemUid, NetworkConfigurationFacts, ResourceFacts } from '@sallyport/protocol';
import type { KindTarget } from '@sallyport/rotation';
import type { ItemOpener } from './open-items.ts';

/** A server that is dialled for a job. */
export interface Endpoint {
  readonly target: KindTarget;
  readonly resource: ItemUid;
  readonly networks: readonly string[];
  /** The server's key: pinned, or seen first; null when it was never seen. */
  readonly identity: string | null;
}

/** The server of a resource, from its facts and what instances keep of it. */
export async function endpointOf(
  items: ItemOpener,
  uid: ItemUid,
  facts: ResourceFacts,
  configuration: Pick<NetworkConfigurationFacts, 'networks'>,
  replicas: KindTarget['replicas'],
): Promise<Endpoint> {
  const identity = facts.serverIdentity === 'first-seen' ? await items.firstSeen(uid) : facts.serverIdentity;
  const target: KindTarget = {
    ...{ host: facts.host, port: facts.port, identity, replicas },
    useTls: 'useSsl' in facts ? facts.useSsl : false,
    recordType: items.item(uid).type,
    databaseType: 'databaseType' in facts ? facts.databaseType : null,
    directoryType: 'directoryType' in facts ? facts.directoryType : null,
    domain: 'domainName' in facts ? (facts.domainName ?? null) : null,
    custom: facts.custom,
  };
  return { target, resource: uid, networks: configuration.networks, identity };
}
