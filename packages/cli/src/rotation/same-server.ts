import { type ResourceFacts, resourceTypes, serverName } from '@sallyport/protocol';
import type { VaultSession } from '../vault/open-session.ts';
import { factsOfResource, type Resource } from './rotated-record.ts';

type Placed = Pick<ResourceFacts, 'host' | 'port' | 'serverIdentity'>;

/**
 * May these be one server under two names? They pin the same key and are at different addresses. No proof: copied machines
 * and certificates for several hosts look the same, which is why accounts are not named by keys.
 */
export function mayBeOneServer(one: Placed, other: Placed): boolean {
  if (one.serverIdentity === 'first-seen' || one.serverIdentity !== other.serverIdentity) return false;
  return serverName(one.host, one.port) !== serverName(other.host, other.port);
}

/** Other resources that may be the same server, in words; empty when there is none. Only pinned keys are compared. */
export async function sameServerWarnings(session: VaultSession, resource: Resource): Promise<readonly string[]> {
  const { items } = await session.vault.items([...resourceTypes]);
  return items
    .filter((other) => other.app === resource.app && other.uid !== resource.uid)
    .filter((other) => mayBeOneServer(factsOfResource(resource), other.facts))
    .map(
      (other) =>
        `“${resource.title}” and “${other.title}” pin the same key: if they are one server under two names, rotate its ` +
        'accounts through one of them only, because each name has its own lock and its own budget of logins',
    );
}
