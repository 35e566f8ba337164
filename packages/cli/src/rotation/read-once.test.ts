import { type ItemUid, PamError } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { freshUid, type OpenedItem } from '../vault/vault.ts';
import { readOnce } from './read-once.ts';

test('what a thousand records share is read once, and so is what cannot be', async () => {
  const read: ItemUid[] = [];
  const [shared, broken] = [freshUid(), freshUid()];
  const once = readOnce({
    item: async (uid) => {
      read.push(uid);
      if (uid === broken) throw new PamError('PAM_NOT_FOUND', 'there is no item');
      return { uid } as OpenedItem;
    },
  });
  for (let n = 0; n < 1_000; n += 1) {
    expect((await once.item(shared)).uid).toBe(shared);
    await expect(once.item(broken)).rejects.toMatchObject({ code: 'PAM_NOT_FOUND' });
  }
  expect(read).toEqual([shared, broken]);
});
