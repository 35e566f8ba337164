import type { InstanceId } from '@sallyport/protocol';
import type { Link } from './link.ts';

/** The control links there are. */
export interface LinkTable {
  readonly links: Map<string, Link>;
  /** Those of `links` that are no members yet: few (door.ts), whatever the number of the others. */
  readonly unproved: Map<string, Link>;
  readonly byInstance: Map<InstanceId, Link>;
}

export const newLinkTable = (): LinkTable => ({ links: new Map(), unproved: new Map(), byInstance: new Map() });
