import { PamError } from '@sallyport/protocol';
import { nextEntries } from '@sallyport/seal';
import { z } from 'zod';
import type { IdentityStore } from '../identity/index.ts';
import { restoreSettings } from '../trust/index.ts';
import type { RestoreDesk } from './restore-desk.ts';

const keptSchema = z.array(z.string().max(16_384)).max(100_000);

/**
 * Gives the router the entries that `pam-router restore` found in the store that was replaced, before anybody else can come. What
 * does not continue the log is left, and told.
 */
export async function takeKeptEntries(
  store: Pick<IdentityStore, 'readSetting' | 'writeSetting'>,
  desk: Pick<RestoreDesk, 'giveBack'>,
  log: (message: string, fields: Record<string, string | number>) => void,
): Promise<void> {
  const text = await store.readSetting({ key: restoreSettings.entries });
  if (text === null || text === '') return;
  const entries = keptSchema.parse(JSON.parse(text));
  try {
    for (let taken = 0; taken < entries.length; ) {
      const batch = nextEntries(entries, taken - 1);
      await desk.giveBack(batch, { from: 'the store that was replaced' });
      taken += batch.length;
    }
  } catch (reason) {
    if (!(reason instanceof PamError)) throw reason;
    log('the trust log of the store that was replaced does not continue that of the backup', { code: reason.code });
  }
  await store.writeSetting({ key: restoreSettings.entries, value: '' });
}
