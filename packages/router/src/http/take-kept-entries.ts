import { PamError } from '@sallyport/protocol';
import { nextEntries, peekEntry } from '@sallyport/seal';
import { z } from 'zod';
import type { IdentityStore } from '../identity/index.ts';
import { restoreSettings } from '../trust/index.ts';
import type { RestoreDesk } from './restore-desk.ts';

const keptSchema = z.array(z.string().max(16_384)).max(100_000);

/**
 * Gives the router the entries that `pam-router restore` found in the store that was replaced, before anybody else can come. What
 * was taken by a start that did not get further is passed over; what does not continue the log is left, and told.
 *
 * @param head - number of the last entry of the log.
 * @throws PAM_STORE_DAMAGED when what was kept is not a list of entries.
 */
export async function takeKeptEntries(
  store: Pick<IdentityStore, 'readSetting' | 'writeSetting'>,
  desk: Pick<RestoreDesk, 'giveBack'>,
  head: number,
  log: (message: string, fields: Record<string, string | number>) => void,
): Promise<void> {
  const text = await store.readSetting({ key: restoreSettings.entries });
  if (text === null || text === '') return;
  try {
    const entries = keptIn(text).filter((entry) => peekEntry(entry).n > head);
    for (let taken = 0; taken < entries.length; ) {
      const batch = nextEntries(entries, taken - 1);
      await desk.giveBack(batch, { from: 'the store that was replaced' });
      taken += batch.length;
    }
  } catch (reason) {
    const isRefused = reason instanceof PamError && reason.code.startsWith('PAM_TRUST_');
    if (!isRefused) throw reason;
    log('the trust log of the store that was replaced does not continue that of the backup', { code: reason.code });
  }
  await store.writeSetting({ key: restoreSettings.entries, value: '' });
}

function keptIn(text: string): readonly string[] {
  try {
    return keptSchema.parse(JSON.parse(text));
  } catch (reason) {
    throw PamError.from(reason, 'PAM_STORE_DAMAGED', 'what was kept of the replaced store is not understood');
  }
}
