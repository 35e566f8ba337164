import { type ApplicationUid, type getJob, type JobId } from '@sallyport/protocol';
import { openNote } from '@sallyport/seal';
import type { z } from 'zod';
import type { VaultSession } from '../vault/open-session.ts';

type Note = z.infer<(typeof getJob)['reply']>['notes'][number];

/** What instances wrote down for people about a job. One that cannot be opened says so in place. */
export async function openNotes(
  session: VaultSession,
  app: ApplicationUid,
  job: JobId,
  notes: readonly Note[],
): Promise<readonly unknown[]> {
  const keys = (await session.vault.allKeys(app)).filter((one) => one.part === 'facts');
  const opened: unknown[] = [];
  for (const note of notes) {
    const key = keys.find((one) => one.gen === note.gen)?.key;
    opened.push(
      key === undefined
        ? { unreadable: `sealed under generation ${note.gen}, whose key you do not hold` }
        : await openNote(note.envelope, { app, job, gen: note.gen }, key),
    );
  }
  return opened;
}
