import { PamError } from '@sallyport/protocol';

/** Something with a UID and a title that was opened from its seal. */
export interface Named {
  readonly uid: string;
  readonly title: string;
}

/**
 * Finds what a user means by `text`: the UID, else the exact title. Titles are matched by every character, capitals
 * included; nothing is guessed.
 *
 * @param kind - word for the messages: `record`, `gateway`, …
 * PAM_NOT_FOUND; PAM_AMBIGUOUS listing the UIDs when several have this title.
 */
export function resolveName<T extends Named>(kind: string, text: string, candidates: readonly T[]): T {
  const byUid = candidates.find((candidate) => candidate.uid === text);
  if (byUid !== undefined) return byUid;
  const hits = candidates.filter((candidate) => candidate.title === text);
  const [first] = hits;
  if (first !== undefined && hits.length === 1) return first;
  if (first === undefined) {
    const near = candidates.find((candidate) => candidate.title.toLowerCase() === text.toLowerCase());
    throw new PamError(
      'PAM_NOT_FOUND',
      `there is no ${kind} “${text}”${near === undefined ? '' : `; “${near.title}” differs in capitals`}`,
    );
  }
  const uids = hits.map((hit) => hit.uid);
  throw new PamError('PAM_AMBIGUOUS', `${hits.length} ${kind}s are called “${text}”: ${uids.join(', ')}`, {
    detail: { uids: uids.join(' ') },
  });
}
