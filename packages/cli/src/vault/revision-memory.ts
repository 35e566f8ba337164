import { createHash } from 'node:crypto';
import { type Item, PamError } from '@sallyport/protocol';
import type { Memory } from '../profile/memory.ts';
import type { ProfileStore } from '../profile/profile-store.ts';

/** One part as the router served it. */
export interface ServedPart {
  readonly uid: string;
  readonly part: 'facts' | 'secrets';
  readonly rev: number;
  readonly envelope: string;
}

/** Under which name the memory keeps a part. */
export const revisionKey = (of: Pick<ServedPart, 'uid' | 'part'>): string => `${of.uid}/${of.part}`;
const hashOf = (served: ServedPart) => createHash('sha256').update(served.envelope).digest('base64url');

const remedyFor = (uid: string): string =>
  `Ask the operator of the router whether it was restored. If it was, and what was newer is lost: pam record accept-older ${uid}.`;

/** Parts whose revisions are remembered, as the router served them. */
export function servedParts(item: Item): readonly ServedPart[] {
  return (['facts', 'secrets'] as const).flatMap((part) => {
    const served = item.parts[part];
    return served === undefined ? [] : [{ uid: item.uid, part, rev: served.rev, envelope: served.envelope }];
  });
}

/** Parts of which this profile saw a newer revision, or another text under the same number. */
export function olderParts(
  memory: Memory['revs'],
  served: readonly ServedPart[],
): readonly { readonly part: ServedPart['part']; readonly seen: number; readonly shown: number }[] {
  return served.flatMap((part) => {
    const known = memory[revisionKey(part)];
    if (known === undefined || known.rev < part.rev) return [];
    if (known.rev === part.rev && known.hash === hashOf(part)) return [];
    return [{ part: part.part, seen: known.rev, shown: part.rev }];
  });
}

/** What the memory holds of parts that are the floor from here on, whatever was seen of them before. */
export function floorsAt(served: readonly ServedPart[]): Memory['revs'] {
  return Object.fromEntries(served.map((part) => [revisionKey(part), { rev: part.rev, hash: hashOf(part) }]));
}

/**
 * Compares a part with the highest revision this profile has seen of it. PAM_SEAL_STALE when the router serves an older
 * one, or another text under the same number.
 */
function checkRevision(memory: Memory['revs'], served: ServedPart): void {
  const known = memory[revisionKey(served)];
  if (known === undefined || served.rev > known.rev) return;
  if (served.rev < known.rev) {
    throw new PamError(
      'PAM_SEAL_STALE',
      `the router served revision ${served.rev} of the ${served.part} of ${served.uid}; revision ${known.rev} was seen before`,
      { detail: { uid: served.uid, why: 'older' }, remedy: remedyFor(served.uid) },
    );
  }
  if (known.hash !== hashOf(served)) {
    throw new PamError(
      'PAM_SEAL_STALE',
      `the router served another text as revision ${served.rev} of the ${served.part} of ${served.uid} than before`,
      { detail: { uid: served.uid, why: 'rewritten' }, remedy: remedyFor(served.uid) },
    );
  }
}

/** The entries of these parts, where they are newer than what is remembered. */
function newRevisions(memory: Memory['revs'], served: readonly ServedPart[]): Memory['revs'] {
  const newer = served.filter((part) => (memory[revisionKey(part)]?.rev ?? 0) < part.rev);
  return Object.fromEntries(newer.map((part) => [revisionKey(part), { rev: part.rev, hash: hashOf(part) }]));
}

/** What the profile has seen of parts, for as long as a command runs. */
export interface RevisionMemory {
  /** PAM_SEAL_STALE when one of them is behind. */
  check(parts: readonly ServedPart[]): Promise<void>;
  /** Resolves when they are in the profile. */
  remember(parts: readonly ServedPart[]): Promise<void>;
  /** What of them is to be remembered, for a caller that writes it with the rest. */
  newsIn(parts: readonly ServedPart[]): Promise<Memory['revs']>;
  /** Takes over what such a caller wrote. */
  reload(): Promise<void>;
}

export function openRevisionMemory(store: Pick<ProfileStore, 'readMemory' | 'remember'>): RevisionMemory {
  let revs: Memory['revs'] | undefined;
  const known = async () => {
    revs ??= (await store.readMemory()).revs;
    return revs;
  };
  const newsIn = async (parts: readonly ServedPart[]) => newRevisions(await known(), parts);
  return {
    check: async (parts) => {
      const seen = await known();
      for (const part of parts) checkRevision(seen, part);
    },
    remember: async (parts) => {
      const news = await newsIn(parts);
      if (Object.keys(news).length > 0) revs = (await store.remember({ revs: news })).revs;
    },
    newsIn,
    reload: async () => {
      revs = (await store.readMemory()).revs;
    },
  };
}
