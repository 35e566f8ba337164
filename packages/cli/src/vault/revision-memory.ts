import { createHash } from 'node:crypto';
import { PamError } from '@sallyport/protocol';
import type { Memory } from '../profile/memory.ts';

/** One part as the router served it. */
export interface ServedPart {
  readonly uid: string;
  readonly part: string;
  readonly rev: number;
  readonly envelope: string;
}

/** Under which name the memory keeps a part. */
export const revisionKey = (of: Pick<ServedPart, 'uid' | 'part'>): string => `${of.uid}/${of.part}`;
const hashOf = (served: ServedPart) => createHash('sha256').update(served.envelope).digest('base64url');

/**
 * Compares a part with the highest revision this profile has seen of it. PAM_SEAL_STALE when the router serves an older
 * one, or another text under the same number.
 */
export function checkRevision(memory: Memory['revs'], served: ServedPart): void {
  const known = memory[revisionKey(served)];
  if (known === undefined || served.rev > known.rev) return;
  if (served.rev < known.rev) {
    throw new PamError(
      'PAM_SEAL_STALE',
      `the router served revision ${served.rev} of the ${served.part} of ${served.uid}; revision ${known.rev} was seen before`,
      { detail: { uid: served.uid, why: 'older' } },
    );
  }
  if (known.hash !== hashOf(served)) {
    throw new PamError(
      'PAM_SEAL_STALE',
      `the router served another text as revision ${served.rev} of the ${served.part} of ${served.uid} than before`,
      { detail: { uid: served.uid, why: 'rewritten' } },
    );
  }
}

/** The entries of these parts, where they are newer than what is remembered. */
export function newRevisions(memory: Memory['revs'], served: readonly ServedPart[]): Memory['revs'] {
  const newer = served.filter((part) => (memory[revisionKey(part)]?.rev ?? 0) < part.rev);
  return Object.fromEntries(newer.map((part) => [revisionKey(part), { rev: part.rev, hash: hashOf(part) }]));
}
