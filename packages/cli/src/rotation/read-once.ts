import type { ItemUid } from '@sallyport/protocol';
import type { OpenedItem } from '../vault/vault.ts';
import type { ItemReader } from './rotated-record.ts';

/** Reads each item at its first mention and no more: what many records share is one look at the vault. */
export function readOnce(vault: ItemReader): ItemReader {
  const reading = new Map<ItemUid, Promise<OpenedItem>>();
  return {
    item: async (uid) => {
      const item = reading.get(uid) ?? vault.item(uid);
      reading.set(uid, item);
      return item;
    },
  };
}
