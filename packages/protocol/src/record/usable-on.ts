import type { ItemUid } from '../ids.ts';
import type { ResourceFacts, UserFacts } from './bodies.ts';

/**
 * Does the credential's own record name this resource with exactly this endpoint? If not it goes nowhere: a resource that
 * was pointed elsewhere takes no credential along (architecture section 3).
 */
export function isUsableOn(
  user: Pick<UserFacts, 'usableOn'>,
  uid: ItemUid,
  resource: Pick<ResourceFacts, 'host' | 'port' | 'serverIdentity'>,
): boolean {
  return user.usableOn.some(
    (one) =>
      one.resource === uid &&
      one.host === resource.host &&
      one.port === resource.port &&
      one.serverIdentity === resource.serverIdentity,
  );
}
